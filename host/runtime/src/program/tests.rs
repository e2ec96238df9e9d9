//! Programs that behave, and such that do not. The example `launcher` stands for the server's own program.

use super::*;

/// Longer than any of these may take, whatever else the machine does.
const LONG: Duration = Duration::from_secs(120);

struct Given(Vec<io::Result<Bytes>>);

impl Pieces for Given {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        if self.0.is_empty() { Ok(None) } else { self.0.remove(0).map(Some) }
    }
}

fn job(script: &str, timeout: Duration) -> (Launcher, Job) {
    let launcher = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("examples/launcher");
    let confinement = Confinement {
        // Nobody: root is refused.
        user: crate::is_root().then_some((65_534, 65_534)),
        folder: PathBuf::from("/"),
        cpu_seconds: 10,
        memory: 1 << 30,
        open_files: 64,
        processes: 0,
        file_size: 1 << 20,
    };
    let job = Job {
        command: PathBuf::from("/bin/sh"),
        arguments: ["-c", script].map(OsString::from).to_vec(),
        environment: vec![("PATH", "/usr/bin:/bin".into()), ("WHO", "$(anna)".into())],
        confinement,
        timeout,
        output_max: 64,
    };
    (Launcher { program: launcher, arguments: Vec::new() }, job)
}

async fn run_with(script: &str, timeout: Duration, input: Vec<io::Result<Bytes>>) -> Result<Run, RunError> {
    let (launcher, job) = job(script, timeout);
    run(&launcher, &job, &mut Given(input)).await
}

async fn outcome(script: &str) -> (Ended, String) {
    let run = run_with(script, LONG, vec![Ok("one\n".into()), Ok("two\n".into())]).await.unwrap();
    (run.ended, String::from_utf8(run.output).unwrap())
}

#[tokio::test]
async fn it_reads_speaks_and_ends() {
    assert_eq!(outcome("cat; exit 3").await, (Ended::Exited(3), "one\ntwo\n".into()));
    assert_eq!(outcome("echo a; echo b >&2; echo c").await, (Ended::Exited(0), "a\nb\nc\n".into()));
    assert_eq!(outcome("echo \"$WHO $HOME\"").await, (Ended::Exited(0), "$(anna) \n".into()));
    assert_eq!(outcome("kill -9 $$").await.0, Ended::Killed(9));
}

#[tokio::test]
async fn it_need_not_read_its_input() {
    // More than a pipe holds, so that feeding it has to wait.
    let much = || vec![Ok(vec![b'x'; 1 << 20].into()), Ok(vec![b'x'; 1 << 20].into())];
    for script in ["exit 0", "exec <&-; exit 0"] {
        let run = run_with(script, LONG, much()).await.unwrap();
        assert_eq!(run.ended, Ended::Exited(0), "{script}");
    }
}

#[tokio::test]
async fn much_output_is_dropped_and_holds_nobody_up() {
    let run = run_with("yes | head -c 3000000; exit 7", LONG, Vec::new()).await.unwrap();
    assert_eq!((run.ended, run.output.len()), (Ended::Exited(7), 64));
    assert_eq!(run.dropped, 3_000_000 - 64);
}

#[tokio::test]
async fn children_that_hold_the_pipe_are_not_waited_for_and_end() {
    let run = run_with("sleep 1000 & echo $!; exit 0", LONG, Vec::new()).await.unwrap();
    assert_eq!(run.ended, Ended::Exited(0));
    assert!(run.elapsed < LONG);
    assert_gone(&run);
}

/// The processes whose ids a program said are no more when it is.
fn assert_gone(run: &Run) {
    let said = String::from_utf8_lossy(&run.output);
    assert!(!said.trim().is_empty());
    for pid in said.split_whitespace() {
        assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists(), "{pid} lives");
    }
}

#[tokio::test]
async fn what_makes_itself_a_session_and_leaves_its_parent_ends_too() {
    // As a daemon does: a session of its own, its parent gone, and once more below; with all signals ignored.
    let daemon = "trap '' TERM HUP INT USR1; setsid sh -c 'echo $$; setsid sh -c \"echo \\$\\$; exec sleep 1000\" & exec sleep 1000' &";
    let waits = "sleep 1; sleep 1; sleep 1";
    for (end, timeout, ended) in [
        (waits, LONG, Ended::Exited(0)),
        ("sleep 1; kill -9 $$", LONG, Ended::Killed(9)),
        ("trap '' TERM; while :; do sleep 1000; done", Duration::from_millis(1500), Ended::TimedOut),
    ] {
        let run = run_with(&format!("{daemon} {end}"), timeout, Vec::new()).await.unwrap();
        assert_eq!(run.ended, ended, "{end}");
        assert_eq!(String::from_utf8_lossy(&run.output).split_whitespace().count(), 2, "{end}");
        assert_gone(&run);
    }
}

#[tokio::test]
async fn one_that_forks_as_long_as_it_can_is_ended_with_all_of_them() {
    let (launcher, mut job) =
        job("(while :; do setsid sh -c 'echo $$; exec sleep 1000' & done) & exec sleep 2", LONG);
    job.confinement.processes = 50;
    job.output_max = 1 << 16;
    let run = run(&launcher, &job, &mut Given(Vec::new())).await.unwrap();
    let output = String::from_utf8_lossy(&run.output);
    let said: Vec<&str> =
        output.lines().filter(|line| line.bytes().all(|octet| octet.is_ascii_digit())).collect();
    assert!(said.len() >= 10, "{output}");
    assert_gone(&Run { output: said.join(" ").into_bytes(), ..run });
}

#[tokio::test]
async fn who_is_dropped_takes_all_of_it_along() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    std::fs::write(&file, "").unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let script = format!("setsid sh -c 'echo $$ > {}; exec sleep 1000' & sleep 1000", file.display());
    let begun = Instant::now();
    {
        let (launcher, job) = job(&script, LONG);
        let mut given = Given(Vec::new());
        let running = run(&launcher, &job, &mut given);
        tokio::pin!(running);
        while std::fs::read_to_string(&file).unwrap().is_empty() {
            assert!(begun.elapsed() < LONG);
            let _ = tokio::time::timeout(Duration::from_millis(10), &mut running).await;
        }
    }
    let pid = std::fs::read_to_string(&file).unwrap();
    while std::path::Path::new(&format!("/proc/{}", pid.trim())).exists() {
        assert!(begun.elapsed() < LONG, "it lives");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn one_that_hangs_is_ended_also_where_it_ignores_sigterm() {
    for script in ["sleep 1000", "trap '' TERM; while :; do sleep 1000; done"] {
        let begun = Instant::now();
        let run = run_with(script, Duration::from_millis(200), Vec::new()).await.unwrap();
        assert_eq!(run.ended, Ended::TimedOut, "{script}");
        assert!(begun.elapsed() < LONG);
    }
}

#[tokio::test]
async fn input_that_cannot_be_read_kills_it_before_it_sees_an_end() {
    let folder = tempfile::tempdir().unwrap();
    let done = folder.path().join("done");
    let script = format!("cat >/dev/null; touch {}", done.display());
    let input = vec![Ok("begun".into()), Err(io::Error::other("the disk"))];
    let failed = run_with(&script, LONG, input).await;
    assert!(matches!(failed, Err(RunError::Input(_))), "{failed:?}");
    assert!(!done.exists());
}

#[tokio::test]
async fn what_is_not_there_is_not_started() {
    let (mut launcher, job) = job("exit 0", LONG);
    launcher.program = PathBuf::from("/nowhere/launcher");
    assert!(matches!(run(&launcher, &job, &mut Given(Vec::new())).await, Err(RunError::Start(_))));
}
