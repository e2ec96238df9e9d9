//! Name service at an address of ours. A port that is taken costs no mail: it is told, and tried again.

use std::time::Duration;

use dns::Listening;
use events::{Event, Events};
use runtime::Shutdown;
use tokio::task::JoinHandle;

/// How long until a port that was taken is tried again.
const AGAIN: Duration = Duration::from_secs(10);

/// Serves by what `bind` binds, now or as soon as it can, until the server stops. `told` hears why it could not, at first and when
/// that changes, and `None` once it serves.
pub(super) fn serve(
    service: &'static str,
    events: &Events,
    stop: &Shutdown,
    bind: impl Fn() -> Result<Listening, String> + Send + 'static,
    told: impl Fn(Option<&str>) + Send + 'static,
) -> JoinHandle<()> {
    // The first try is made before anything else begins.
    let mut bound = bind();
    if let Err(why) = &bound {
        told(Some(why));
    }
    let (events, stop) = (events.clone(), stop.clone());
    tokio::spawn(async move {
        loop {
            match bound {
                Ok((address, run)) => {
                    events.emit(&Event::Listening { service, address });
                    told(None);
                    tokio::select! { () = run => {}, () = stop.wait() => {} }
                    return;
                }
                Err(before) => {
                    tokio::select! { () = tokio::time::sleep(AGAIN) => {}, () = stop.wait() => return }
                    bound = bind();
                    if let Err(why) = &bound
                        && *why != before
                    {
                        told(Some(why));
                    }
                }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_port_that_is_taken_is_served_once_it_is_free() {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (tries, stop) = (Mutex::new(0), Shutdown::new());
        let (telling, address) = (Arc::clone(&heard), ([127, 0, 0, 1], 53).into());
        let bind = move || {
            *tries.lock() += 1;
            let free = *tries.lock() > 3;
            let listening: Listening = (address, Box::pin(std::future::pending()));
            if free { Ok(listening) } else { Err("taken".to_owned()) }
        };
        let told = move |why: Option<&str>| telling.lock().push(why.map(str::to_owned));
        let serving = serve("dns", &Events::counting(runtime::Clock::system()), &stop, bind, told);
        assert_eq!(*heard.lock(), [Some("taken".to_owned())]);
        tokio::time::sleep(AGAIN * 4).await;
        assert_eq!(*heard.lock(), [Some("taken".to_owned()), None], "the same reason is told once");
        stop.trigger();
        serving.await.unwrap();
    }
}
