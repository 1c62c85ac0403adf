//! Everything at random for a while, from a seed: joins, leaves, flows, links, routes, clients that
//! come and go. In the end the library and the kernel agree, and nothing has piled up.
//!
//! MGM_SOAK_SECONDS and MGM_SOAK_SEED choose how long and which; `make soak` runs ten minutes, half as each user.

use crate::netns::recorder::send;
use crate::netns::{Cable, run, wait_for};
use crate::netns_tests;
use crate::stage::{JOIN, Protocol, Router};
use mgm::core::types::{ClientId, SourceGroup};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// A xorshift generator: the same seed gives the same program.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % n
    }
}

const SOURCES: usize = 40;
const GROUPS: usize = 25;

/// Sources 10.9.0.0/24 and 10.8.0.0/24, whose routes move.
fn source(n: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 8 + (n % 2) as u8, 0, 1 + n as u8)
}

fn group(n: usize) -> Ipv4Addr {
    Ipv4Addr::new(232, 7, 0, 1 + n as u8)
}

struct Soak {
    router: Router,
    cables: Vec<Cable>,
    /// A second protocol, which owns the last cable, and its memberships come and go with it.
    other: Option<(Protocol, ClientId)>,
    random: Random,
}

impl Soak {
    fn step(&mut self) {
        let on = self.random.below(3);
        let of = match self.random.below(20) {
            0 => SourceGroup::ALL,
            1..9 => SourceGroup::new(source(self.random.below(SOURCES)), self.any_group()),
            _ => SourceGroup::new(Ipv4Addr::UNSPECIFIED, self.any_group()),
        };
        let mgm = self.router.mgm;
        match self.random.below(1000) {
            0..300 => mgm.add_membership(self.router.id, of, self.cables[on].key(), JOIN).unwrap(),
            300..620 => {
                mgm.delete_membership(self.router.id, of, self.cables[on].key(), JOIN).unwrap();
            }
            620..640 => self.flap(on),
            640..660 => {
                let (network, to) = (8 + self.random.below(2), self.random.below(4));
                match self.cables.get(to).filter(|_| to < 3) {
                    Some(cable) => run(&format!(
                        "ip route replace 10.{network}.0.0/24 dev {} || true",
                        cable.name
                    )),
                    None => run(&format!("ip route del 10.{network}.0.0/24 2>/dev/null || true")),
                };
            }
            660..670 => self.restart_other(),
            _ => {
                let flow = SourceGroup::new(source(self.random.below(SOURCES)), self.any_group());
                for _ in 0..1 + self.random.below(4) {
                    send(&self.cables[on], flow, b"soak");
                }
            }
        }
    }

    fn any_group(&mut self) -> Ipv4Addr {
        group(self.random.below(GROUPS))
    }

    fn flap(&mut self, on: usize) {
        // The far end, so that packets can still be handed in.
        let peer = &self.cables[on].peer;
        let name = &self.cables[on].name;
        if self.random.below(3) == 0 {
            run(&format!("ip link set dev {name} down && ip link set dev {name} up"));
        } else {
            run(&format!("ip link set dev {peer} down && ip link set dev {peer} up"));
        }
    }

    fn restart_other(&mut self) {
        let mgm = self.router.mgm;
        let last = self.cables[3].key();
        match self.other.take() {
            Some((_, id)) => {
                mgm.release_interface(id, last).unwrap();
                mgm.deregister(id).unwrap();
            }
            None => {
                let (protocol, id) = self.router.another(200);
                mgm.take_interface(id, last).unwrap();
                let of = SourceGroup::new(Ipv4Addr::UNSPECIFIED, self.any_group());
                mgm.add_membership(id, of, last, JOIN).unwrap();
                self.other = Some((protocol, id));
            }
        }
    }
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Resident memory in KiB.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

netns_tests! {
    fn everything_at_random() {
        let seed = setting("MGM_SOAK_SEED", 20_261_123).max(1);
        let time = Duration::from_secs(setting("MGM_SOAK_SECONDS", 15));
        eprintln!("seed {seed}");
        let router = Router::start();
        let cables: Vec<Cable> = (0..4)
            .map(|n| Cable::new(&format!("v{n}"), Some(&format!("10.{}.0.1/24", n + 1))))
            .collect();
        router.take(&[&cables[0], &cables[1], &cables[2]]);
        let mut soak = Soak { router, cables, other: None, random: Random(seed) };
        let begun = Instant::now();
        let (mut steps, mut before, mut most) = (0u64, None, 0);
        while begun.elapsed() < time {
            soak.step();
            soak.router.protocol.clear();
            steps += 1;
            most = most.max(soak.router.entries().len());
            for cable in &soak.cables {
                while cable.receive().is_some() {}
            }
            // Once everything has been seen.
            if before.is_none() && begun.elapsed() > time / 3 {
                before = Some((open_files(), memory()));
            }
        }
        let (files, kib) = before.unwrap();
        // No flow of the second half hangs in the kernel; what was on its way has arrived.
        soak.router.agrees_with_kernel();
        wait_for("all devices to work", || {
            let entries = soak.router.entries();
            entries.iter().all(|e| !e.oifs.contains(&e.iif)).then_some(())
        });
        eprintln!("{steps} steps, {} entries in the end", soak.router.entries().len());
        assert!(steps > 100);
        assert!(most > 1, "there never were entries");
        assert!(open_files() <= files, "{files} descriptors were open, now {}", open_files());
        let grown = memory().saturating_sub(kib);
        assert!(grown < 4096, "{grown} KiB more than after a third of the time");
        soak.router.mgm.stop().unwrap();
        assert_eq!(run("ip mroute show table all"), "");
        assert_eq!(run("tail -n +2 /proc/net/ip_mr_vif"), "");
    }
}
