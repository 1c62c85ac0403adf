//! The process around it: stopping, children, signals.

use crate::netns::recorder::{flow, send_until_received};
use crate::netns::{run, wait_for};
use crate::netns_tests;
use crate::stage::{Router, any, three_cables};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};

static SIGNALS: AtomicU32 = AtomicU32::new(0);

extern "C" fn count_signal(_: i32) {
    SIGNALS.fetch_add(1, SeqCst);
}

netns_tests! {
    fn stopping_leaves_nothing() {
        let router = Router::start();
        let [a, b, _] = three_cables();
        let threads = threads();
        router.take(&[&a, &b]);
        let f = flow(2, 1);
        router.join(any(f), b.key());
        send_until_received(&a, f, &b);
        router.stop();
        assert_eq!(run("ip mroute show table all"), "");
        assert_eq!(run("tail -n +2 /proc/net/ip_mr_vif"), "");
        assert!(threads.iter().any(|name| name == "mgm-pool"));
        // One that has been joined may still be shown for a moment.
        wait_for("the threads to go", || {
            (!self::threads().iter().any(|name| name.starts_with("mgm-"))).then_some(())
        });
        // And it can begin again.
        let router = Router::start();
        router.take(&[&a, &b]);
        router.join(any(f), b.key());
        send_until_received(&a, f, &b);
    }

    fn programs_that_the_host_starts_get_none_of_its_descriptors() {
        let router = Router::start();
        let [a, b, _] = three_cables();
        router.take(&[&a, &b]);
        let mut child = Command::new("sleep").arg("60").stdin(Stdio::null()).spawn().unwrap();
        let open = std::fs::read_dir(format!("/proc/{}/fd", child.id())).unwrap();
        let links: Vec<_> = open
            .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
            .map(|link| link.to_string_lossy().into_owned())
            .filter(|link| link.starts_with("socket:") || link.contains("eventfd"))
            .collect();
        let ours = run(&format!("ls -l /proc/{}/fd", std::process::id()));
        child.kill().unwrap();
        child.wait().unwrap();
        // Sockets that this process was itself given do not count.
        let inherited: Vec<_> = links.iter().filter(|link| !given(link, &ours)).collect();
        assert!(inherited.is_empty(), "{inherited:?}");
    }

    fn a_forked_child_does_not_keep_the_table_alive_after_a_stop() {
        let router = Router::start();
        let [a, b, _] = three_cables();
        router.take(&[&a, &b]);
        let f = flow(2, 1);
        router.join(any(f), b.key());
        send_until_received(&a, f, &b);
        // A child that has not become another program holds a copy of every descriptor. It tells
        // that it is there, and goes on when it is told to, or after a while.
        let (told, tells) = std::io::pipe().unwrap();
        let (goes, go) = std::io::pipe().unwrap();
        let (tells_fd, goes_fd) = (tells.as_raw_fd(), goes.as_raw_fd());
        let mut command = Command::new("true");
        let wait = move || {
            // SAFETY: plain system calls on descriptors that are open; the octet and the structure
            // are valid.
            unsafe {
                libc::write(tells_fd, c"x".as_ptr().cast(), 1);
                let mut polled = libc::pollfd { fd: goes_fd, events: libc::POLLIN, revents: 0 };
                libc::poll(&raw mut polled, 1, 30_000);
            }
            Ok(())
        };
        // SAFETY: between fork and exec it makes only system calls.
        unsafe { command.pre_exec(wait) };
        std::thread::scope(|scope| {
            let child = scope.spawn(|| command.spawn().unwrap().wait().unwrap());
            (&told).read_exact(&mut [0]).unwrap();
            router.stop();
            assert_eq!(run("ip mroute show table all"), "");
            assert_eq!(run("tail -n +2 /proc/net/ip_mr_vif"), "");
            // The table is free for the next one.
            Router::start().stop();
            (&go).write_all(b"x").unwrap();
            assert!(child.join().unwrap().success());
        });
    }

    fn signals_interrupt_nothing() {
        // SAFETY: the handler only counts; sigaction is given valid structures.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = count_signal as *const () as usize;
            // Without SA_RESTART, so that system calls fail with EINTR.
            assert_eq!(libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut()), 0);
            assert_eq!(libc::sigaction(libc::SIGCHLD, &raw const action, std::ptr::null_mut()), 0);
        }
        let router = Router::start();
        let [a, b, c] = three_cables();
        router.take(&[&a, &b, &c]);
        // SAFETY: takes nothing.
        let me = unsafe { libc::pthread_self() } as usize;
        let go_on = AtomicBool::new(true);
        std::thread::scope(|scope| {
            // A check that fails ends the other thread too.
            let _stop = StopOnDrop(&go_on);
            scope.spawn(|| {
                while go_on.load(SeqCst) {
                    // SAFETY: the thread lives until this scope ends. To the thread, and to the
                    // process, whose other threads are the library's.
                    unsafe {
                        libc::pthread_kill(me as libc::pthread_t, libc::SIGUSR1);
                        libc::kill(libc::getpid(), libc::SIGCHLD);
                    }
                    // A storm without a pause would leave no time for the calls it interrupts.
                    std::thread::park_timeout(std::time::Duration::from_micros(200));
                }
            });
            for n in 0..200 {
                let f = flow(2, n);
                router.join(any(f), b.key());
                router.join(any(f), c.key());
                send_until_received(&a, f, &b);
                router.leave(any(f), c.key());
            }
        });
        assert!(SIGNALS.load(SeqCst) > 100);
        router.agrees_with_kernel();
        let complaints: Vec<_> =
            router.lines().into_iter().filter(|line| line.0 <= mgm::log::Level::Warn).collect();
        assert!(complaints.is_empty(), "{complaints:?}");
    }
}

struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(false, SeqCst);
    }
}

fn threads() -> Vec<String> {
    std::fs::read_dir("/proc/self/task")
        .unwrap()
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok())
        .map(|name| name.trim().to_owned())
        .collect()
}

/// Whether it is among this process's standard descriptors.
fn given(link: &str, ours: &str) -> bool {
    ours.lines().any(|line| {
        line.contains(link) && [" 0 ->", " 1 ->", " 2 ->"].iter().any(|fd| line.contains(fd))
    })
}
