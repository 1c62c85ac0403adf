//! The kernel's table is not what it should be: others change it, or the kernel refuses.

use crate::netns::recorder::{flow, send, send_until_received};
use crate::netns::{run, wait_for};
use crate::netns_tests;
use crate::stage::{Router, any, kernel_entries, three_cables};
use mgm::log::Level;
use mgm::types::{IfKey, SourceGroup};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

const MRT_DEL_VIF: i32 = 203;
const MRT_ADD_MFC: i32 = 204;
const MRT_DEL_MFC: i32 = 205;
const MRT_FLUSH: i32 = 212;

netns_tests! {
    fn entries_that_somebody_else_changes_are_mended() {
        let router = Router::start();
        let [a, b, c] = three_cables();
        router.take(&[&a, &b, &c]);
        let f = flow(2, 1);
        router.join(any(f), b.key());
        send_until_received(&a, f, &b);
        let other = Other::new();
        other.mfc(MRT_DEL_MFC, f, 0, &[]);
        wait_for("the line in the log", || {
            router.logged("somebody else changed or deleted").then_some(())
        });
        router.wait_entry(f, a.key(), &[b.key()]);
        send_until_received(&a, f, &b);
        // From c (VIF 2) to a (VIF 0).
        other.mfc(MRT_ADD_MFC, f, 2, &[0]);
        router.wait_entry(f, a.key(), &[b.key()]);
        send_until_received(&a, f, &b);
        // One that the library never made.
        let g = flow(3, 2);
        other.mfc(MRT_ADD_MFC, g, 0, &[1]);
        router.wait_gone(g);
        router.agrees_with_kernel();
    }

    fn a_table_that_somebody_else_empties_is_filled_again() {
        let router = Router::start();
        let [a, b, c] = three_cables();
        router.take(&[&a, &b, &c]);
        router.join(SourceGroup::ALL, b.key());
        for n in 0..300 {
            send_until_received(&a, flow(2, n), &b);
        }
        // All entries.
        Other::new().option(MRT_FLUSH, &3i32.to_ne_bytes());
        wait_for("300 entries in the kernel", || (kernel_entries().len() == 300).then_some(()));
        router.agrees_with_kernel();
        // A VIF, which the entries name.
        let mut vif = [0u8; 16];
        vif[0] = 1;
        Other::new().option(MRT_DEL_VIF, &vif);
        wait_for("the VIF", || {
            let vifs = run("tail -n +2 /proc/net/ip_mr_vif");
            (vifs.lines().count() == 3).then_some(())
        });
        send_until_received(&a, flow(2, 7), &b);
        router.agrees_with_kernel();
    }

    fn what_the_kernel_refuses_is_told_and_tried_again() {
        let [a, b, c] = three_cables();
        for (n, (errno, told)) in (1..).zip(REFUSALS) {
            let router = Router::start();
            router.take(&[&a, &b, &c]);
            let f = flow(2, n);
            router.join(any(f), b.key());
            send_until_received(&a, f, &b);
            let complaints = wait_for("a refusal", || {
                refused(MRT_ADD_MFC, errno, || router.join(any(f), c.key()));
                let complaints = router.complaints();
                if complaints.is_empty() {
                    // A thread with a late report of the flow programmed it: that is not refused.
                    router.leave(any(f), c.key());
                }
                (!complaints.is_empty()).then_some(complaints)
            });
            let line = format!("entry {f}: MRT_ADD_MFC: {told}; it is tried again");
            assert_eq!(complaints, [line], "once");
            router.wait_entry(f, a.key(), &[b.key(), c.key()]);
            send_until_received(&a, f, &c);
            refused(MRT_ADD_MFC, errno, || {
                router.leave(any(f), b.key());
                router.leave(any(f), c.key());
            });
            router.wait_entry(f, a.key(), &[]);
            router.agrees_with_kernel();
            router.stop();
        }
    }

    fn a_new_flow_that_the_kernel_refuses_is_tried_again() {
        let [a, b, c] = three_cables();
        for (n, (errno, told)) in (1..).zip(REFUSALS) {
            // The threads that the reports come to have the filter of the one that started them.
            let router = refused(MRT_ADD_MFC, errno, Router::with_clock);
            router.take(&[&a, &b, &c]);
            let f = flow(2, n);
            router.join(any(f), b.key());
            send(&a, f, b"first");
            wait_for("the line in the log", || (!router.complaints().is_empty()).then_some(()));
            assert_eq!(router.complaints(), [format!("entry {f}: MRT_ADD_MFC: {told}; it is tried again")]);
            assert!(kernel_entries().is_empty());
            // The packet still waits in the kernel.
            router.pass(1);
            assert!(b.wait_receive().ends_with(b"first"));
            router.wait_entry(f, a.key(), &[b.key()]);
            router.agrees_with_kernel();
            assert_eq!(router.complaints().len(), 1);
            router.stop();
        }
    }

    fn many_entries_that_the_kernel_refuses() {
        const FLOWS: u16 = 20;
        let router = Router::with_clock();
        let [a, b, c] = three_cables();
        router.take(&[&a, &b, &c]);
        router.join(SourceGroup::ALL, b.key());
        for n in 0..FLOWS {
            send_until_received(&a, flow(2, n), &b);
        }
        let both = [b.key(), c.key()];
        let are = |oifs: &[IfKey]| kernel_entries().iter().filter(|entry| entry.is(a.key(), oifs)).count();
        // Netlink takes no message: the socket's option does it.
        on_a_thread(|| {
            refuse(libc::SYS_sendto, None, libc::ENOBUFS);
            router.join(SourceGroup::ALL, c.key());
        });
        assert_eq!((are(&both), router.complaints().len()), (usize::from(FLOWS), 0));
        for (errno, _) in REFUSALS {
            on_a_thread(|| {
                refuse(libc::SYS_sendto, None, libc::ENOBUFS);
                refuse(libc::SYS_setsockopt, Some(MRT_ADD_MFC), errno);
                router.leave(SourceGroup::ALL, c.key());
            });
            assert_eq!(are(&both), usize::from(FLOWS), "as before");
            // One line in ten seconds, however many flows there are.
            let complaints = router.complaints();
            assert!(complaints.len() == 1 && complaints[0].contains(REFUSALS[0].1), "{complaints:?}");
            router.pass(1);
            assert_eq!(are(&[b.key()]), usize::from(FLOWS), "none was forgotten");
            router.agrees_with_kernel();
            router.join(SourceGroup::ALL, c.key());
        }
    }
}

/// Why MRT_ADD_MFC fails, and what the log says then.
const REFUSALS: [(i32, &str); 3] = [
    (libc::ENOBUFS, "no buffer space (errno 105)"),
    (libc::ENFILE, "table full (errno 23)"),
    (libc::EPERM, "operation not permitted (errno 1)"),
];

impl Router {
    /// What was logged as a warning or an error.
    fn complaints(&self) -> Vec<String> {
        self.lines()
            .into_iter()
            .filter(|(level, _)| *level <= Level::Warn)
            .map(|(_, line)| line)
            .collect()
    }
}

/// Another program that meddles with the table.
struct Other(OwnedFd);

impl Other {
    fn new() -> Self {
        // SAFETY: takes no pointers; the descriptor is new and ours.
        unsafe {
            let fd = libc::socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_IGMP);
            assert!(fd >= 0, "{}", std::io::Error::last_os_error());
            Self(OwnedFd::from_raw_fd(fd))
        }
    }

    fn option(&self, name: i32, value: &[u8]) {
        // SAFETY: the value is valid for its length.
        let result = unsafe {
            let value_at = value.as_ptr().cast();
            let length = value.len() as u32;
            libc::setsockopt(self.0.as_raw_fd(), libc::IPPROTO_IP, name, value_at, length)
        };
        assert_eq!(result, 0, "{name}: {}", std::io::Error::last_os_error());
    }

    /// `struct mfcctl`.
    fn mfc(&self, name: i32, flow: SourceGroup, parent: u16, oifs: &[usize]) {
        let mut value = [0u8; 60];
        value[..4].copy_from_slice(&flow.source().octets());
        value[4..8].copy_from_slice(&flow.group().octets());
        value[8..10].copy_from_slice(&parent.to_ne_bytes());
        for oif in oifs {
            value[10 + oif] = 1;
        }
        self.option(name, &value);
    }
}

/// Runs something on a thread of its own: what is refused to a thread is so for ever.
fn on_a_thread<R: Send>(run: impl FnOnce() -> R + Send) -> R {
    std::thread::scope(|scope| scope.spawn(run).join().unwrap())
}

/// Runs something for which this socket option fails.
fn refused<R: Send>(option: i32, errno: i32, run: impl FnOnce() -> R + Send) -> R {
    on_a_thread(|| {
        refuse(libc::SYS_setsockopt, Some(option), errno);
        run()
    })
}

/// From now on a system call fails for the calling thread and those that it starts; with `third`
/// where its third argument is that.
fn refuse(call: libc::c_long, third: Option<i32>, errno: i32) {
    let step = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    // struct seccomp_data: the system call's number, and the lower half of its third argument.
    let at = if cfg!(target_endian = "little") { 32 } else { 36 };
    let third = third.map(|third| {
        [
            step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, at),
            step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, third as u32),
        ]
    });
    let rest = if third.is_some() { 3 } else { 1 };
    let mut program = vec![
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, rest, call as u32),
    ];
    program.extend(third.into_iter().flatten());
    program.extend([
        step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | errno as u32),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ]);
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: the program is valid for the call, which copies it.
    let result = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
            | libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program)
    };
    assert_eq!(result, 0, "seccomp: {}", std::io::Error::last_os_error());
}
