//! The processes of a test.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// How long to wait for what must come.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// The line of one that is at work on what it was asked to do.
pub const BUSY: &str = "busy";

/// A process that does what it is told.
pub struct Puppet {
    pub child: Child,
    input: RefCell<Option<ChildStdin>>,
    lines: Receiver<String>,
    /// Lines that are no answers and were read while one was waited for.
    told: RefCell<Vec<String>>,
    /// Its socket, which it leaves behind where it is killed.
    serves: Option<PathBuf>,
}

/// A path for a socket, of this test alone.
pub fn path() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Relaxed);
    std::env::temp_dir().join(format!("mgm-remote-{}-{number}", std::process::id()))
}

impl Puppet {
    /// Starts a process with these variables.
    pub fn with(variables: &[(&str, &str)]) -> Self {
        Self::run(Command::new(std::env::current_exe().unwrap()), variables)
    }

    /// The same, without CAP_DAC_OVERRIDE.
    pub fn powerless(variables: &[(&str, &str)]) -> Self {
        const CAP_DAC_OVERRIDE: i32 = 1;
        let mut command = Command::new(std::env::current_exe().unwrap());
        // SAFETY: between fork and exec it makes only a system call. An ordinary user may not, and need
        // not.
        unsafe {
            command.pre_exec(|| {
                libc::prctl(libc::PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0);
                Ok(())
            });
        }
        Self::run(command, variables)
    }

    fn run(mut command: Command, variables: &[(&str, &str)]) -> Self {
        command
            .args(["--exact", "puppet", "--nocapture", "--test-threads=1"])
            .env_clear()
            .env("MGM_PUPPET", "1")
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (send, lines) = channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        let err = BufReader::new(child.stderr.take().unwrap());
        let log = send.clone();
        std::thread::spawn(move || {
            out.lines().map_while(Result::ok).for_each(|line| drop(send.send(line)));
        });
        std::thread::spawn(move || {
            err.lines().map_while(Result::ok).for_each(|line| drop(log.send(line)));
        });
        let input = RefCell::new(child.stdin.take());
        Self { child, input, lines, told: RefCell::default(), serves: None }
    }

    /// A host on the memory forwarder that serves at this path.
    pub fn host(path: &std::path::Path, hold: u32) -> Self {
        let mut host = Self::with(&[]);
        assert_eq!(host.ask(&format!("start memory {} {hold}", path.display())), "0");
        host.serves = Some(path.to_owned());
        host
    }

    /// A client of the host at this path.
    pub fn client(path: &std::path::Path) -> Self {
        Self::with(&[("MGM_HOST", path.to_str().unwrap()), ("MGM_LOG", "info")])
    }

    /// Says a line without waiting for the answer.
    pub fn tell(&self, line: &str) {
        let mut input = self.input.borrow_mut();
        writeln!(input.as_mut().unwrap(), "{line}").unwrap();
    }

    /// The answer to a line.
    pub fn ask(&self, line: &str) -> String {
        self.tell(line);
        self.answer()
    }

    /// The next answer.
    pub fn answer(&self) -> String {
        let mut deadline = Instant::now() + DEADLINE;
        loop {
            let line = self.next(deadline).expect("an answer");
            match line.strip_prefix("= ") {
                Some(answer) => return answer.to_string(),
                None if line == BUSY => deadline = Instant::now() + DEADLINE,
                None => self.told.borrow_mut().push(line),
            }
        }
    }

    fn next(&self, deadline: Instant) -> Option<String> {
        let left = deadline.saturating_duration_since(Instant::now());
        self.lines.recv_timeout(left).ok()
    }

    /// Waits for a line that has this in it.
    pub fn wait_for(&self, part: &str) -> String {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let at = self.told.borrow().iter().position(|line| line.contains(part));
            if let Some(at) = at {
                return self.told.borrow_mut().remove(at);
            }
            let Some(line) = self.next(deadline) else {
                panic!("no line with {part:?}; there were {:#?}", self.told.borrow());
            };
            self.told.borrow_mut().push(line);
        }
    }

    /// Waits for the error that has this in it, in one line of the log; no other error or warning is there.
    pub fn says_once(&self, part: &str) {
        let line = self.wait_for(part);
        assert!(line.starts_with("mgm: error: "), "{line}");
        self.ask("threads");
        let others = ["mgm: error", "mgm: warn"].map(|level| self.has_part(level));
        assert_eq!(others, [false; 2], "beside {line:?}: {:#?}", self.told.borrow());
    }

    /// Whether such a line came before the last answer; it counts once.
    pub fn has(&self, line: &str) -> bool {
        let mut told = self.told.borrow_mut();
        let at = told.iter().position(|other| other == line);
        at.map(|at| told.remove(at)).is_some()
    }

    /// Whether a line that came before the last answer has this in it.
    pub fn has_part(&self, part: &str) -> bool {
        self.told.borrow().iter().any(|line| line.contains(part))
    }

    /// The callbacks so far, in order; what is on its way has come when the answer to this has.
    pub fn callbacks(&self) -> Vec<String> {
        self.ask("threads");
        let names =
            ["rpf", "creation", "prune", "join", "wrong", "local_", "disable", "enable", "nested"];
        let mut told = self.told.borrow_mut();
        let (callbacks, rest) =
            told.drain(..).partition(|line| names.iter().any(|name| line.starts_with(name)));
        *told = rest;
        callbacks
    }

    /// Ends it at once, as kill -9 does.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: i32) {
        // SAFETY: a child of this process that has not been waited for.
        unsafe { libc::kill(self.child.id() as i32, signal) };
    }

    /// Stops it, and returns when none of its threads runs any more.
    pub fn stop(&self) {
        self.signal(libc::SIGSTOP);
        let tasks = format!("/proc/{}/task", self.child.id());
        let stopped = |task: std::fs::DirEntry| {
            std::fs::read_to_string(task.path().join("stat")).is_ok_and(|stat| {
                stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T'))
            })
        };
        until(|| std::fs::read_dir(&tasks).unwrap().flatten().all(stopped), "a thread runs on");
    }
}

impl Drop for Puppet {
    fn drop(&mut self) {
        drop(self.input.borrow_mut().take());
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(path) = &self.serves {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Asks again and again until an answer fits.
pub fn until(mut fits: impl FnMut() -> bool, what: &str) {
    let deadline = Instant::now() + DEADLINE;
    while !fits() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
