//! Work that nobody waits for at a socket: it has threads of its own, which give way to those of sessions.

use std::io;
use std::sync::Arc;

use tokio::runtime::{Builder, Handle, Runtime, RuntimeFlavor};
use tokio::task::JoinHandle;

/// How much lower the priority of such threads is (`nice`, 0 to 19). A thread of this one gets a third of what a usual one
/// gets beside it, and all that is left over: on a machine without a free core work goes on, slower.
const NICE: i32 = 5;
/// Fewest threads: one that speaks with a server, and one that makes something of its answers.
const THREADS_MIN: usize = 2;
/// Most threads.
const THREADS_MAX: usize = 8;

/// Threads that give way to others. Clones are the same threads; they end with the last of them.
#[derive(Clone)]
pub struct Background(Arc<Threads>);

/// Ended without waiting for anything: whoever drops it may be one of them.
struct Threads(Option<Runtime>);

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Background {
    /// Starts as many as there are cores, within bounds.
    ///
    /// # Errors
    /// The system gives no threads.
    pub fn start() -> io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let runtime = Builder::new_multi_thread()
            .worker_threads(cores.clamp(THREADS_MIN, THREADS_MAX))
            .thread_name("background")
            .on_thread_start(lower_priority)
            .enable_all()
            .build()?;
        Ok(Self(Arc::new(Threads(Some(runtime)))))
    }

    /// Runs something there. What it spawns itself runs there too.
    ///
    /// # Panics
    /// Never: the threads last as long as the handle.
    pub fn spawn<W>(&self, work: W) -> JoinHandle<W::Output>
    where
        W: Future<Output: Send> + Send + 'static,
    {
        self.0.0.as_ref().expect("it is taken when it is dropped").spawn(work)
    }
}

/// Does what keeps a thread busy for long. The task that its thread woke last goes on elsewhere meanwhile: nobody else takes that one
/// over, and it would wait for the end of this.
pub fn busy<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        // There is nobody else to go on.
        _ => work(),
    }
}

/// Lets the calling thread give way to others for as long as it lives: without leave from the system, no thread gets back
/// up. Where the system refuses, the thread goes on as it is.
fn lower_priority() {
    // Without a number Linux means the calling thread alone, whatever POSIX says of processes.
    if rustix::process::getpriority_process(None).is_ok_and(|now| now < NICE) {
        let _ = rustix::process::setpriority_process(None, NICE);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn it_gives_way_and_nothing_else_does() {
        let nice = || rustix::process::getpriority_process(None).unwrap();
        let before = nice();
        let background = Background::start().unwrap();
        let there = background.spawn(async move { tokio::spawn(async move { nice() }).await.unwrap() });
        assert_eq!(there.await.unwrap(), before.max(NICE));
        assert_eq!(nice(), before);
    }

    #[test]
    fn who_is_busy_holds_nobody_up() {
        let runtime = Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let (done, waiting) = std::sync::mpsc::channel();
        let woken = runtime.spawn(async move {
            tokio::spawn(async move { done.send(()).unwrap() });
            busy(|| waiting.recv_timeout(Duration::from_secs(10)))
        });
        runtime.block_on(woken).unwrap().unwrap();
    }

    #[tokio::test]
    async fn it_ends_from_within() {
        let background = Background::start().unwrap();
        let inner = background.clone();
        background.spawn(async move { drop(inner) }).await.unwrap();
    }
}
