//! Bounds that only a large router shows. They share a lock of the kernel's, that of netlink.

use crate::netns::meddler::Meddler;
use crate::netns::recorder::flow;
use crate::netns::{alone, run, wait_for, wait_for_all};
use crate::netns_measurements;
use crate::scheduled::Scheduled;
use crate::stage::{Router, SetOnDrop, any, kernel_entries, three_cables};
use mgm::types::SourceGroup;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// A machine that does other things too, and a library that is not optimised, may take so many times as
/// long as the bound says.
const GENEROUS: u32 = if cfg!(debug_assertions) { 12 } else { 4 };

/// Flows from sources of their own, in groups of a hundred, none of which is the router's own address.
fn large(n: u32) -> SourceGroup {
    let group = 0xe801_0000 + n / 100;
    SourceGroup::new(Ipv4Addr::from_bits(0x1400_0001 + n), Ipv4Addr::from_bits(group))
}

/// How many threads the library has.
fn threads() -> usize {
    let of_library = |entry: std::io::Result<std::fs::DirEntry>| {
        // One that ends meanwhile does not count.
        let name = std::fs::read_to_string(entry.unwrap().path().join("comm"));
        name.is_ok_and(|name| name.starts_with("mgm-"))
    };
    std::fs::read_dir("/proc/self/task").unwrap().map(of_library).filter(|is| *is).count()
}

/// How long this process's threads have run.
fn processor_time() -> Duration {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::uninit();
    // SAFETY: the kernel writes the structure where it gives 0.
    let usage = unsafe {
        assert_eq!(libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()), 0);
        usage.assume_init()
    };
    let times = [usage.ru_utime, usage.ru_stime];
    times.iter().map(|t| Duration::new(t.tv_sec as u64, t.tv_usec as u32 * 1000)).sum()
}

netns_measurements! {
    #[ignore = "it takes over 100,000 entries: make test-all"]
    fn a_hundred_thousand_entries_are_taken_over_within_5_s() {
        const FLOWS: u32 = 100_000;
        let _alone = alone();
        let cables = three_cables();
        let [a, b, c] = cables.each_ref();
        run("ip route add 20.0.0.0/8 dev a");
        let left = Meddler::as_router(&[a, b, c]);
        (0..FLOWS).for_each(|n| left.add(large(n), 0, &[1]));
        let (scheduled, begun) = (Scheduled::now(), Instant::now());
        let router = Router::with(|settings| settings.multicast_socket = Some(left.descriptor()));
        let started = begun.elapsed();
        router.take(&[a, b, c]);
        let joining = Instant::now();
        router.join(any(large(FLOWS - 1)), c.key());
        let joined = joining.elapsed();
        wait_for_all("the takeover", FLOWS as usize, || router.total_entries());
        let claimed = begun.elapsed();
        let counts = scheduled.not_waited(claimed);
        // What they were found with may have gone by now.
        let reached = kernel_entries()
            .iter()
            .filter(|k| k.flow.group() == large(FLOWS - 1).group())
            .filter(|k| k.oifs.contains(&"c".to_owned()))
            .count();
        eprintln!(
            "started after {started:.2?}, a join took {joined:.2?}, all after {claimed:.2?}, of which a \
             thread waited {:.2?} for a processor",
            claimed - counts
        );
        assert_eq!(reached, 100);
        assert!(counts < GENEROUS * Duration::from_secs(5), "{counts:?} of {claimed:?}");
    }

    #[ignore = "a link flaps beside 300,000 entries: make test-all"]
    fn a_route_is_followed_within_a_second_beside_a_link_that_flaps() {
        const FLOWS: u32 = 300_000;
        let _alone = alone();
        let cables = three_cables();
        let [a, b, c] = cables.each_ref();
        run("ip route add 20.0.0.0/8 dev a && ip route add 10.9.0.0/24 dev a");
        run("ip link add name x type veth peer name xp && ip link set dev xp up");
        let moves = SourceGroup::new([10, 9, 0, 2].into(), flow(2, 1).group());
        let left = Meddler::as_router(&[a, b, c]);
        (0..FLOWS).for_each(|n| left.add(large(n), 0, &[1]));
        left.add(moves, 0, &[1]);
        let router = Router::with(|settings| settings.multicast_socket = Some(left.descriptor()));
        router.take(&[a, b, c]);
        router.join(SourceGroup::ALL, c.key());
        wait_for_all("all entries", FLOWS as usize + 1, || router.total_entries());
        let over = AtomicBool::new(false);
        let (mut worst, mut most) = (Duration::ZERO, 0);
        std::thread::scope(|scope| {
            let _over = SetOnDrop(&over);
            scope.spawn(|| {
                // Five times a second, down and up.
                while !over.load(SeqCst) {
                    for how in ["up", "down"] {
                        run(&format!("ip link set dev x {how}"));
                        std::thread::sleep(Duration::from_millis(100));
                    }
                }
            });
            let end = Instant::now() + Duration::from_secs(10);
            for toward in [b, a].into_iter().cycle() {
                if Instant::now() > end {
                    break;
                }
                run(&format!("ip route replace 10.9.0.0/24 dev {}", toward.name));
                let moved = Instant::now();
                wait_for("the entry to follow", || {
                    router.entry(moves).filter(|entry| entry.iif == toward.key())
                });
                (worst, most) = (worst.max(moved.elapsed()), most.max(threads()));
                std::thread::sleep(Duration::from_millis(200));
            }
        });
        let stopped = Instant::now();
        wait_for("the walks to end", || {
            let before = processor_time();
            std::thread::sleep(Duration::from_millis(500));
            (processor_time() - before < Duration::from_millis(50)).then_some(())
        });
        eprintln!(
            "followed within {worst:.1?}; at rest {:.1?} after the last flap; {most} threads",
            stopped.elapsed()
        );
        assert!(worst < GENEROUS * Duration::from_secs(1), "{worst:?}");
        assert!(most <= 5, "{most} threads where three are needed, and one or two stand by");
        assert!(!router.logged("hang"), "{:?}", router.lines());
    }
}
