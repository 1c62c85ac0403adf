//! Answers come to the callbacks that they belong to.

use super::*;
use crate::sys::wait_readable;
use std::net::Ipv4Addr;

/// Whoever the process asks, which it does not.
struct Nobody;

impl Performer for Nobody {
    fn perform(&self, _: &OwnedFd, _: &mut ReplyRoom, _: Request) -> Result<(), Ended> {
        Err(Ended::OutOfTurn("a request"))
    }

    fn changes(&self) -> u64 {
        0
    }

    fn end(&self, reason: Ended) {
        panic!("{reason}");
    }
}

fn flow(n: u8) -> SourceGroup {
    SourceGroup::new(Ipv4Addr::new(10, 0, 0, n), Ipv4Addr::new(239, 1, 1, 1))
}

fn enabled(index: u32) -> OutInterface {
    let interface = IfKey::new(index, Ipv4Addr::UNSPECIFIED);
    OutInterface { interface, igmp: false, enabled: true }
}

fn answer(process: &OwnedFd, answer: Answer<'_>) {
    let mut room = Buffer::new().unwrap();
    crate::remote::channel::send(process, room.room().unwrap(), &ToHost::Answer(answer), None)
        .unwrap();
}

/// An alert of more interfaces than a message holds, or for which there is no memory, is not asked. If it
/// went ahead it has been answered all the same, and the next answer is the next alert's.
#[test]
fn p1_what_was_answered_ahead_is_taken_though_nothing_can_be_asked() {
    let (host, process) = seqpacket::pair().unwrap();
    let kind = ClientKind { has_local_join: false, dispatched: false, takes_routeless: false };
    let proxy = Proxy::new(kind).unwrap();
    proxy.come(Arc::new(ProcessLine::new(host, None, Arc::new(Nobody), CallbackSet::ALL).unwrap()));
    let iif = IfKey::new(1, Ipv4Addr::UNSPECIFIED);
    assert_eq!(proxy.known_ahead(), Some(0));
    for n in 2..5 {
        assert!(proxy.ahead(Coming::Creation(flow(n), iif, &[enabled(u32::from(n))])));
    }
    let veto = |index| records::interface(enabled(index).interface);
    for index in [1, 2, 3] {
        answer(&process, Answer::Creation(&veto(index)));
    }
    let mut first = [enabled(1)];
    proxy.creation(flow(1), iif, &mut first).unwrap();
    assert_eq!((first[0].enabled, proxy.known_ahead()), (false, Some(3)));
    let mut many: Vec<_> = (0..MAX_PACKET as u32).map(enabled).collect();
    proxy.creation(flow(2), iif, &mut many).unwrap();
    assert!(many.iter().all(|out| out.enabled != (out.interface.index == 2)));
    let mut next = [enabled(3)];
    proxy.creation(flow(3), iif, &mut next).unwrap();
    assert!(!next[0].enabled);
    // The last one was left to the host, which has nothing to ask any more.
    answer(&process, Answer::Again);
    proxy.creation(flow(4), iif, &mut []).unwrap();
    let mut room = Buffer::new().unwrap();
    let told = seqpacket::receive(&process, room.room().unwrap()).unwrap();
    assert!(told > 0);
    assert_eq!(wait_readable([&process], Some(0)), Ok([false]), "only one message");
}
