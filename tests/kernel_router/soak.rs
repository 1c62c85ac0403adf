//! Everything at random for a while, from a seed: joins, leaves, flows, links, routes, clients that
//! come and go. Ten times on the way, what the library holds is compared with what was expected.
//! In the end it has an entry for every flow; library, expectation, kernel and real packets agree,
//! and nothing has piled up.
//!
//! MGM_SOAK_SECONDS and MGM_SOAK_SEED choose how long and which; `make soak` runs ten minutes as
//! each user.

use crate::expected::Expected;
use crate::netns::recorder::send;
use crate::netns::running::amount;
use crate::netns::{Cable, DEADLINE, run, wait_for};
use crate::netns_tests;
use crate::stage::{Entry, JOIN, Protocol, Router, memory};
use mgm::types::{ClientId, SourceGroup};
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
    expected: Expected,
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
            0..300 => {
                self.expected.joined(on, of);
                mgm.add_membership(self.router.id, of, self.cables[on].key(), JOIN).unwrap();
            }
            300..620 => {
                self.expected.left(on, of);
                mgm.delete_membership(self.router.id, of, self.cables[on].key(), JOIN).unwrap();
            }
            620..640 => self.flap(on),
            640..660 => {
                let (network, to) = (self.random.below(2), self.random.below(4));
                let prefix = format!("10.{}.0.0/24", 8 + network);
                self.expected.routed(network, (to < 3).then_some(to));
                match to {
                    3 => run(&format!("ip route del {prefix} 2>/dev/null || true")),
                    to => run(&format!("ip route replace {prefix} dev v{to}")),
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
            self.expected.was_down(on);
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
                self.expected.all_left(3);
                mgm.release_interface(id, last).unwrap();
                mgm.deregister(id).unwrap();
            }
            None => {
                let (protocol, id) = self.router.another(200);
                mgm.take_interface(id, last).unwrap();
                let of = SourceGroup::new(Ipv4Addr::UNSPECIFIED, self.any_group());
                mgm.add_membership(id, of, last, JOIN).unwrap();
                self.expected.joined(3, of);
                self.other = Some((protocol, id));
            }
        }
    }

    /// Whether an entry is what is expected. Without a route it has no oifs, whatever its iif.
    fn as_expected(&self, entry: &Entry) -> bool {
        let network = usize::from(entry.flow.source().octets()[1]) - 8;
        let oifs: Vec<_> =
            self.expected.oifs(entry.flow, network).iter().map(|n| self.cables[*n].key()).collect();
        let iif = self.expected.iif(network).map(|n| self.cables[n].key());
        entry.oifs == oifs && iif.is_none_or(|iif| entry.iif == iif)
    }

    /// Waits until all entries are as expected, for changes of links and routes are on their way.
    fn compare(&self) -> Vec<Entry> {
        let end = Instant::now() + DEADLINE;
        loop {
            let entries = self.router.entries();
            let wrong: Vec<_> = entries.iter().filter(|entry| !self.as_expected(entry)).collect();
            if wrong.is_empty() {
                return entries;
            }
            assert!(Instant::now() < end, "not as expected: {wrong:#?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// One packet of each flow: it comes out where it is expected, and nowhere else.
    fn send_all(&self) {
        let drain = || self.cables.iter().map(|cable| while cable.receive().is_some() {}).count();
        drain();
        for (s, g) in (0..SOURCES).flat_map(|s| (0..GROUPS).map(move |g| (s, g))) {
            let (flow, network) = (SourceGroup::new(source(s), group(g)), s % 2);
            let Some(iif) = self.expected.iif(network) else { continue };
            let oifs = self.expected.oifs(flow, network);
            let data = format!("{s} {g}");
            send(&self.cables[iif], flow, data.as_bytes());
            for on in &oifs {
                assert!(self.cables[*on].wait_receive().ends_with(data.as_bytes()), "{flow}");
            }
        }
        // Whatever else came out has come by now.
        for cable in &self.cables {
            assert_eq!(cable.receive(), None, "{}", cable.name);
        }
    }
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

netns_tests! {
    fn everything_at_random() {
        let seed = setting("MGM_SOAK_SEED", 20_261_123).max(1);
        let time = Duration::from_secs(setting("MGM_SOAK_SECONDS", amount(15, 6)));
        eprintln!("seed {seed}");
        let router = Router::start();
        let cables: Vec<Cable> = (0..4)
            .map(|n| Cable::new(&format!("v{n}"), Some(&format!("10.{}.0.1/24", n + 1))))
            .collect();
        router.take(&[&cables[0], &cables[1], &cables[2]]);
        let mut soak = Soak { router, cables, other: None, random: Random(seed), expected: Expected::default() };
        let begun = Instant::now();
        let (mut steps, mut before, mut most, mut compared) = (0u64, None, 0, 0);
        while begun.elapsed() < time {
            soak.step();
            soak.router.protocol.clear();
            steps += 1;
            most = most.max(soak.router.entries().len());
            for cable in &soak.cables {
                while cable.receive().is_some() {}
            }
            if begun.elapsed() > time * compared / 10 {
                compared += 1;
                soak.compare();
            }
            // Once everything has been seen.
            if before.is_none() && begun.elapsed() > time / 3 {
                before = Some((open_files(), memory()));
            }
        }
        let (files, kib) = before.unwrap();
        // Every flow gets an entry, those without a route too; then each is as expected, and again
        // when all have one.
        for (s, g) in (0..SOURCES).flat_map(|s| (0..GROUPS).map(move |g| (s, g))) {
            let on = soak.expected.iif(s % 2).unwrap_or(0);
            let flow = SourceGroup::new(source(s), group(g));
            wait_for(&format!("an entry of {flow}"), || {
                send(&soak.cables[on], flow, b"last");
                soak.router.entry(flow)
            });
        }
        assert_eq!(soak.compare().len(), SOURCES * GROUPS);
        for network in 0..2 {
            run(&format!("ip route replace 10.{}.0.0/24 dev v{network}", 8 + network));
            soak.expected.routed(network, Some(network));
        }
        let entries = soak.compare();
        soak.router.agrees_with_kernel();
        soak.send_all();
        soak.router.agrees_with_kernel();
        let forwarded = entries.iter().filter(|entry| !entry.oifs.is_empty()).count();
        eprintln!("{steps} steps; {} entries in the end, {forwarded} with oifs", entries.len());
        assert!(forwarded > 0);
        assert!(steps > 100);
        assert!(most > 1, "there never were entries");
        assert!(open_files() <= files, "{files} descriptors were open, now {}", open_files());
        let grown = memory().saturating_sub(kib);
        assert!(grown < 4096, "{grown} KiB more than after a third of the time");
        soak.router.stop();
        assert_eq!(run("ip mroute show table all"), "");
        assert_eq!(run("tail -n +2 /proc/net/ip_mr_vif"), "");
    }
}
