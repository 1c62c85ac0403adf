//! What the wire surprises with: packets that come in where nobody expects them.

use crate::netns::recorder::{flow, send, send_until_received};
use crate::netns::{Cable, run, wait_for};
use crate::netns_tests;
use crate::stage::{Router, Told, any, three_cables};
use mgm::log::Level;
use mgm::types::{IfKey, SourceGroup};
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

netns_tests! {
    fn e7_a_wrong_interface_is_told_of_whether_or_not_it_is_an_oif() {
        let router = Router::start();
        let [a, b, c] = three_cables();
        router.take(&[&a, &b, &c]);
        for (n, oifs) in [(1, &[&b][..]), (2, &[&b, &c]), (3, &[])] {
            let f = flow(2, n);
            for oif in oifs {
                router.join(any(f), oif.key());
            }
            send(&a, f, b"x");
            let oifs: Vec<_> = oifs.iter().map(|oif| oif.key()).collect();
            router.wait_entry(f, a.key(), &oifs);
            send(&c, f, b"by the other of two routes");
            wait_for("the callback", || {
                let told = router.protocol.count(|told| *told == Told::WrongIf(f, c.key()));
                (told == 1).then_some(())
            });
            if let [_, ..] = oifs[..] {
                send_until_received(&a, f, &b);
            }
        }
        router.agrees_with_kernel();
    }

    fn no_next_hop_on_the_incoming_device_is_an_outgoing_interface() {
        let router = Router::start();
        let [a, b, _] = three_cables();
        let hop = |n| IfKey::new(b.index, Ipv4Addr::new(10, 2, 0, n));
        run("ip route add 10.40.0.0/24 via 10.2.0.2");
        router.take(&[&a]);
        for n in [2, 3] {
            router.mgm.take_interface(router.id, hop(n)).unwrap();
        }
        let from_spoke = |n| SourceGroup::new(Ipv4Addr::new(10, 40, 0, 5), flow(2, n).group());
        let (early, late) = (from_spoke(1), from_spoke(2));
        let lines = || {
            let all = router.lines();
            let told = |line: &String| line.contains("Linux sends nothing back");
            all.into_iter().filter(|(_, line)| told(line)).collect::<Vec<_>>()
        };
        // The member is there before the packet, and after it.
        router.join(any(early), hop(3));
        send(&b, early, b"x");
        router.wait_entry(early, hop(2), &[]);
        wait_for("a line of the log", || (lines().len() == 1).then_some(()));
        let (level, line) = &lines()[0];
        assert_eq!(*level, Level::Warn);
        assert!(line.contains("10.2.0.3 wants (10.40.0.5,232.1.0.1)"), "{line}");
        send(&b, late, b"x");
        router.wait_entry(late, hop(2), &[]);
        router.join(any(late), hop(3));
        router.join(any(late), a.key());
        router.wait_entry(late, hop(2), &[a.key()]);
        assert_eq!(router.protocol.count(|told| *told == Told::Creation(early)), 0);
        send_until_received(&b, late, &a);
        // A packet may be counted before the library knows that the entry is in place.
        let counts = |flow| wait_for("a packet counted for the one interface", || {
            router.entry(flow).filter(|entry| matches!(entry.out_packets[..], [some] if some > 0))
        });
        counts(late);
        assert_eq!(b.receive(), None, "nothing goes back");
        // The route moves to another device: now it is one, until the route comes back.
        run("ip route replace 10.40.0.0/24 via 10.1.0.2");
        router.wait_entry(early, a.key(), &[hop(3)]);
        send_until_received(&a, early, &b);
        counts(early);
        run("ip route replace 10.40.0.0/24 via 10.2.0.2");
        router.wait_entry(early, hop(2), &[]);
        router.agrees_with_kernel();
    }
    fn a_program_of_this_machine_sends_by_another_device() {
        let router = Router::start();
        let [a, b, c] = three_cables();
        let own = "10.99.0.1";
        run(&format!("ip link set dev lo up && ip address add {own}/32 dev lo"));
        let program = Program::new(own);
        let f = program.flow(1);
        router.take(&[&a, &b, &c]);
        router.join(any(f), b.key());
        program.sends_by(&a);
        send_until_received_from(&program, f, &b);
        let entry = router.wait_entry(f, a.key(), &[b.key()]);
        let asked = |router: &Router| router.protocol.count(|told| matches!(told, Told::Rpf(_)));
        assert_eq!(asked(&router), 1);
        // By a device that is no oif: the packet that shows it is lost, and those that follow are not.
        program.sends_by(&c);
        program.send(f);
        let moved = router.wait_entry(f, c.key(), &[b.key()]);
        assert!(moved.counters.packets > entry.counters.packets, "its counts go on");
        while b.receive().is_some() {}
        for _ in 0..10 {
            program.send(f);
            b.wait_receive();
        }
        assert_eq!(asked(&router), 2);
        // The flow moves while it is not forwarded: that shows as soon as it is.
        router.leave(any(f), b.key());
        router.wait_entry(f, c.key(), &[]);
        program.sends_by(&a);
        program.send(f);
        router.join(any(f), b.key());
        program.send_until_by(&router, f, &a);
        send_until_received_from(&program, f, &b);
        // By an oif, where copies are seen as well. Then it is wanted by nobody.
        program.sends_by(&b);
        program.send_until_by(&router, f, &b);
        router.wait_entry(f, b.key(), &[]);
        router.join(any(f), c.key());
        send_until_received_from(&program, f, &c);
    }

    fn a_program_that_stays_is_not_disturbed() {
        let router = Router::start();
        let [a, b, c] = three_cables();
        let program = Program::new("10.1.0.1");
        let f = program.flow(1);
        router.take(&[&a, &b, &c]);
        router.join(any(f), b.key());
        router.join(any(f), c.key());
        program.sends_by(&a);
        send_until_received_from(&program, f, &b);
        router.wait_entry(f, a.key(), &[b.key(), c.key()]);
        let received = || [&b, &c].map(|cable| std::iter::from_fn(|| cable.receive()).count());
        received();
        // For longer than it takes to look where its packets leave, twice.
        let (begun, mut sent, mut got) = (Instant::now(), 0, [0, 0]);
        while begun.elapsed() < Duration::from_secs(5) {
            program.send(f);
            sent += 1;
            let more = received();
            got = [got[0] + more[0], got[1] + more[1]];
            std::thread::sleep(Duration::from_millis(1));
        }
        // The last ones may still be on their way.
        wait_for("all packets", || {
            let more = received();
            got = [got[0] + more[0], got[1] + more[1]];
            (got[0] >= sent && got[1] >= sent).then_some(())
        });
        assert_eq!(got, [sent, sent]);
        assert_eq!(router.protocol.count(|told| matches!(told, Told::Rpf(_))), 1);
    }

    fn the_route_of_a_group_moves() {
        let router = Router::start();
        let [a, b, c] = three_cables();
        run("ip link set dev lo up && ip address add 10.99.0.1/32 dev lo");
        run("ip route add 232.0.0.0/8 dev a src 10.99.0.1");
        // One that is bound to an address sends by the device which has that.
        let program = Program { address: Ipv4Addr::new(10, 99, 0, 1), ..Program::new("0.0.0.0") };
        let f = program.flow(1);
        router.take(&[&a, &b, &c]);
        router.join(any(f), b.key());
        send_until_received_from(&program, f, &b);
        router.wait_entry(f, a.key(), &[b.key()]);
        run("ip route replace 232.0.0.0/8 dev c src 10.99.0.1");
        program.send_until_by(&router, f, &c);
        send_until_received_from(&program, f, &b);
        router.wait_entry(f, c.key(), &[b.key()]);
    }

    fn the_address_of_a_source_comes_to_this_machine_and_goes() {
        let router = Router::start();
        let [a, b, c] = three_cables();
        run("ip link set dev lo up");
        let f = flow(77, 1);
        router.take(&[&a, &b, &c]);
        router.join(any(f), b.key());
        send_until_received(&a, f, &b);
        router.wait_entry(f, a.key(), &[b.key()]);
        run("ip address add 10.1.0.77/32 dev lo");
        let program = Program::new("10.1.0.77");
        program.sends_by(&c);
        program.send_until_by(&router, f, &c);
        send_until_received_from(&program, f, &b);
        router.wait_entry(f, c.key(), &[b.key()]);
        drop(program);
        run("ip address del 10.1.0.77/32 dev lo");
        router.wait_entry(f, a.key(), &[b.key()]);
        send_until_received(&a, f, &b);
    }
}

/// A program on the router that sends.
struct Program {
    socket: UdpSocket,
    address: Ipv4Addr,
}

impl Program {
    /// It sends from an address of the router's.
    fn new(address: &str) -> Self {
        let address: Ipv4Addr = address.parse().unwrap();
        let socket = UdpSocket::bind((address, 0)).unwrap();
        socket.set_multicast_ttl_v4(16).unwrap();
        Self { socket, address }
    }

    fn flow(&self, n: u16) -> SourceGroup {
        SourceGroup::new(self.address, flow(1, n).group())
    }

    /// IP_MULTICAST_IF.
    fn sends_by(&self, cable: &Cable) {
        let mut by = [0u32; 3];
        by[2] = cable.index;
        // SAFETY: the value is a struct ip_mreqn of which the index alone is set.
        let set = unsafe {
            libc::setsockopt(
                self.socket.as_raw_fd(),
                libc::IPPROTO_IP,
                libc::IP_MULTICAST_IF,
                by.as_ptr().cast(),
                size_of_val(&by) as u32,
            )
        };
        assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
    }

    /// Sends until the flow's entry has this device as its iif.
    fn send_until_by(&self, router: &Router, f: SourceGroup, cable: &Cable) {
        wait_for(&format!("{f} to come from {}", cable.name), || {
            self.send(f);
            router.entry(f).filter(|entry| entry.iif == cable.key())
        });
    }

    fn send(&self, f: SourceGroup) {
        self.socket.send_to(b"own", (f.group(), 5000)).unwrap();
    }
}

fn send_until_received_from(program: &Program, f: SourceGroup, to: &Cable) {
    while to.receive().is_some() {}
    let addresses = [f.source().octets(), f.group().octets()].concat();
    wait_for(&format!("{f} to flow to {}", to.name), || {
        program.send(f);
        std::iter::from_fn(|| to.receive()).find(|packet| packet[12..20] == addresses)
    });
}
