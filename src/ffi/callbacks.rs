//! A client's C functions as [`Callbacks`].

use super::convert::{address, dword, interface, mask_with};
use super::returning::must_return;
use super::types::{
    _MGM_IF_ENTRY, _ROUTING_PROTOCOL_CONFIG, _RTM_DEST_INFO, _RTM_DEST_VIEW_INFO, _RTM_NET_ADDRESS,
    BOOL, BYTE, DWORD, FILETIME, MGM_DISPATCHED, MGM_ROUTELESS_FLOWS, RTM_VIEW_ID_MCAST,
    RTM_VIEW_MASK_MCAST,
};
use crate::error::Error;
use crate::remote::server::Proxy;
use crate::shell::callbacks::{
    CallbackKind, CallbackThread, Callbacks, Coming, OutInterface, RpfAnswer,
};
use crate::types::{IfKey, Route, Seconds, SourceGroup};
use smallvec::SmallVec;
use std::ptr::null_mut;

/// A client in C: the functions that it registered.
///
/// The caller of MgmRegisterMProtocol promised that each has the declared type and can be called
/// until the client is deregistered. The shell calls none of them later (rule A8).
#[derive(Clone, Copy)]
pub(super) struct CClient {
    functions: _ROUTING_PROTOCOL_CONFIG,
}

impl CClient {
    pub(super) fn new(functions: _ROUTING_PROTOCOL_CONFIG) -> Self {
        Self { functions }
    }
}

/// A copy of a packet's beginning: C may write into it, and may read it as 32-bit words.
struct Copied {
    words: SmallVec<[u64; 8]>,
    size: DWORD,
}

impl Copied {
    /// Where memory runs out it is the packet's header alone.
    fn of(packet: &[u8]) -> Self {
        const WORD: usize = size_of::<u64>();
        let mut words = SmallVec::<[u64; 8]>::new();
        let has_room = words.try_reserve_exact(packet.len().div_ceil(WORD)).is_ok();
        let size = if has_room { packet.len() } else { header_len(packet).min(packet.len()) };
        words.resize(size.div_ceil(WORD), 0);
        // SAFETY: so many words have `size` octets or more, and are ours.
        unsafe { words.as_mut_ptr().cast::<u8>().copy_from_nonoverlapping(packet.as_ptr(), size) };
        Self { words, size: size as DWORD }
    }

    fn as_mut_ptr(&mut self) -> *mut BYTE {
        self.words.as_mut_ptr().cast()
    }
}

/// The length that a packet's header claims, at most 60 octets: so much fits without an allocation.
fn header_len(packet: &[u8]) -> usize {
    packet.first().map_or(0, |first| usize::from(first & 0x0f) * 4)
}

/// Whether dwCallbackFlags has one of the library's own flags. They count only where the upper half
/// is theirs: a program that was written for Windows may have left anything in the field.
const fn has_flag(flags: DWORD, flag: DWORD) -> bool {
    const OWN: DWORD = 0xffff_0000;
    flags & OWN == flag & OWN && flags & flag & !OWN != 0
}

/// What pbRoute of an RPF callback points at (rule E2).
fn dest_info(route: &Route) -> _RTM_DEST_INFO {
    let mut bits = [0; 16];
    bits[..4].copy_from_slice(&route.network.octets());
    _RTM_DEST_INFO {
        DestHandle: null_mut(),
        DestAddress: _RTM_NET_ADDRESS {
            AddressFamily: libc::AF_INET as u16,
            NumBits: route.prefix_len.into(),
            AddrBits: bits,
        },
        LastChanged: FILETIME::default(),
        BelongsToViews: RTM_VIEW_MASK_MCAST,
        NumberOfViews: 1,
        ViewInfo: [_RTM_DEST_VIEW_INFO {
            ViewId: RTM_VIEW_ID_MCAST,
            NumRoutes: 1,
            Route: null_mut(),
            Owner: null_mut(),
            DestFlags: 0,
            HoldRoute: null_mut(),
        }],
    }
}

/// The arguments that most callbacks begin with: source, its mask, group, its mask.
fn words(of: SourceGroup) -> (DWORD, DWORD, DWORD, DWORD) {
    let (source, group) = (of.source(), of.group());
    (dword(source), mask_with(source), dword(group), mask_with(group))
}

impl Callbacks for CClient {
    fn has_local_join(&self) -> bool {
        self.functions.pfnLocalJoinCallback.is_some()
    }

    fn has(&self, kind: CallbackKind) -> bool {
        let functions = &self.functions;
        match kind {
            CallbackKind::Rpf => functions.pfnRpfCallback.is_some(),
            CallbackKind::Creation => functions.pfnCreationAlertCallback.is_some(),
            CallbackKind::Prune => functions.pfnPruneAlertCallback.is_some(),
            CallbackKind::Join => functions.pfnJoinAlertCallback.is_some(),
            CallbackKind::WrongInterface => functions.pfnWrongIfCallback.is_some(),
            CallbackKind::LocalJoin => functions.pfnLocalJoinCallback.is_some(),
            CallbackKind::LocalLeave => functions.pfnLocalLeaveCallback.is_some(),
            CallbackKind::DisableIgmp => functions.pfnDisableIgmpCallback.is_some(),
            CallbackKind::EnableIgmp => functions.pfnEnableIgmpCallback.is_some(),
        }
    }

    fn callback_thread(&self) -> CallbackThread {
        if has_flag(self.functions.dwCallbackFlags, MGM_DISPATCHED) {
            CallbackThread::Dispatched
        } else {
            CallbackThread::Anywhere
        }
    }

    fn takes_routeless(&self) -> bool {
        has_flag(self.functions.dwCallbackFlags, MGM_ROUTELESS_FLOWS)
    }

    fn rpf(&self, flow: SourceGroup, answer: &mut RpfAnswer, packet: &[u8], route: Option<&Route>) {
        let Some(function) = self.functions.pfnRpfCallback else { return };
        let (s, sm, g, gm) = words(flow);
        let mut packet = Copied::of(packet);
        let mut route = route.map(dest_info);
        let route = route.as_mut().map_or(null_mut(), |route| (&raw mut *route).cast());
        let mut index = answer.iif.index;
        let mut next_hop = dword(answer.iif.next_hop);
        let mut upstream = dword(answer.upstream);
        // SAFETY: see `CClient`; the pointers are to our own variables, writable for the call.
        must_return(|| unsafe {
            function(
                s,
                sm,
                g,
                gm,
                &raw mut index,
                &raw mut next_hop,
                &raw mut upstream,
                packet.size,
                packet.as_mut_ptr(),
                route,
            )
        });
        // The core checks whether the client owns that interface (rule A10).
        *answer = RpfAnswer { iif: interface(index, next_hop), upstream: address(upstream) };
    }

    fn creation(
        &self,
        flow: SourceGroup,
        iif: IfKey,
        out: &mut [OutInterface],
    ) -> Result<(), Error> {
        let Some(function) = self.functions.pfnCreationAlertCallback else { return Ok(()) };
        let (s, sm, g, gm) = words(flow);
        let mut entries = SmallVec::<[_MGM_IF_ENTRY; 16]>::new();
        entries.try_reserve(out.len())?;
        entries.extend(out.iter().map(|out| _MGM_IF_ENTRY {
            dwIfIndex: out.interface.index,
            dwIfNextHopAddr: dword(out.interface.next_hop),
            bIGMP: out.igmp.into(),
            bIsEnabled: out.enabled.into(),
        }));
        let count = entries.len() as DWORD;
        let (index, next_hop) = (iif.index, dword(iif.next_hop));
        // SAFETY: see `CClient`; the array is ours, writable for the call and `count` long.
        must_return(|| unsafe {
            function(s, sm, g, gm, index, next_hop, count, entries.as_mut_ptr())
        });
        // Only bIsEnabled is read back; changes of the interfaces' names are ignored.
        for (out, entry) in out.iter_mut().zip(&entries) {
            out.enabled = entry.bIsEnabled != 0;
        }
        Ok(())
    }

    fn prune(&self, of: SourceGroup, interface: IfKey, member: bool, timeout: &mut Seconds) {
        let Some(function) = self.functions.pfnPruneAlertCallback else { return };
        let (s, sm, g, gm) = words(of);
        let (index, next_hop) = (interface.index, dword(interface.next_hop));
        // SAFETY: see `CClient`; the timeout is a DWORD of ours, writable for the call.
        must_return(|| unsafe {
            function(s, sm, g, gm, index, next_hop, BOOL::from(member), &raw mut timeout.0)
        });
    }

    fn join(&self, of: SourceGroup, member: bool) {
        let Some(function) = self.functions.pfnJoinAlertCallback else { return };
        let (s, sm, g, gm) = words(of);
        // SAFETY: see `CClient`.
        must_return(|| unsafe { function(s, sm, g, gm, BOOL::from(member)) });
    }

    fn wrong_interface(&self, flow: SourceGroup, arrival: IfKey, packet: &[u8]) {
        let Some(function) = self.functions.pfnWrongIfCallback else { return };
        let (s, _, g, _) = words(flow);
        let mut packet = Copied::of(packet);
        let (index, next_hop) = (arrival.index, dword(arrival.next_hop));
        // SAFETY: see `CClient`; the packet is a copy of ours, writable for the call.
        must_return(|| unsafe {
            function(s, g, index, next_hop, packet.size, packet.as_mut_ptr())
        });
    }

    fn local_join(&self, of: SourceGroup, interface: IfKey) {
        let Some(function) = self.functions.pfnLocalJoinCallback else { return };
        let (s, sm, g, gm) = words(of);
        // SAFETY: see `CClient`.
        must_return(|| unsafe {
            function(s, sm, g, gm, interface.index, dword(interface.next_hop))
        });
    }

    fn local_leave(&self, of: SourceGroup, interface: IfKey) {
        let Some(function) = self.functions.pfnLocalLeaveCallback else { return };
        let (s, sm, g, gm) = words(of);
        // SAFETY: see `CClient`.
        must_return(|| unsafe {
            function(s, sm, g, gm, interface.index, dword(interface.next_hop))
        });
    }

    fn disable_igmp(&self, interface: IfKey) {
        let Some(function) = self.functions.pfnDisableIgmpCallback else { return };
        // SAFETY: see `CClient`.
        must_return(|| unsafe { function(interface.index, dword(interface.next_hop)) });
    }

    fn enable_igmp(&self, interface: IfKey) {
        let Some(function) = self.functions.pfnEnableIgmpCallback else { return };
        // SAFETY: see `CClient`.
        must_return(|| unsafe { function(interface.index, dword(interface.next_hop)) });
    }
}

/// A client: C functions of this process, or a client of another process.
#[derive(Clone)]
pub(super) enum AnyClient {
    Here(CClient),
    Elsewhere(Proxy),
}

impl From<CClient> for AnyClient {
    fn from(client: CClient) -> Self {
        Self::Here(client)
    }
}

impl From<Proxy> for AnyClient {
    fn from(client: Proxy) -> Self {
        Self::Elsewhere(client)
    }
}

/// Whichever of the two it is.
macro_rules! either {
    ($client:expr, $to:ident => $call:expr) => {
        match $client {
            AnyClient::Here($to) => $call,
            AnyClient::Elsewhere($to) => $call,
        }
    };
}

impl Callbacks for AnyClient {
    fn has_local_join(&self) -> bool {
        either!(self, to => to.has_local_join())
    }

    fn has(&self, kind: CallbackKind) -> bool {
        either!(self, to => to.has(kind))
    }

    fn takes_routeless(&self) -> bool {
        either!(self, to => to.takes_routeless())
    }

    fn callback_thread(&self) -> CallbackThread {
        either!(self, to => to.callback_thread())
    }

    fn process(&self) -> Option<u32> {
        either!(self, to => to.process())
    }

    fn known_ahead(&self) -> Option<usize> {
        either!(self, to => to.known_ahead())
    }

    fn ahead(&self, coming: Coming<'_>) -> bool {
        either!(self, to => to.ahead(coming))
    }

    fn rpf(&self, flow: SourceGroup, answer: &mut RpfAnswer, header: &[u8], route: Option<&Route>) {
        either!(self, to => to.rpf(flow, answer, header, route));
    }

    fn creation(
        &self,
        flow: SourceGroup,
        iif: IfKey,
        out: &mut [OutInterface],
    ) -> Result<(), Error> {
        either!(self, to => to.creation(flow, iif, out))
    }

    fn prune(&self, of: SourceGroup, interface: IfKey, member: bool, timeout: &mut Seconds) {
        either!(self, to => to.prune(of, interface, member, timeout));
    }

    fn join(&self, of: SourceGroup, member: bool) {
        either!(self, to => to.join(of, member));
    }

    fn wrong_interface(&self, flow: SourceGroup, arrival: IfKey, header: &[u8]) {
        either!(self, to => to.wrong_interface(flow, arrival, header));
    }

    fn local_join(&self, of: SourceGroup, interface: IfKey) {
        either!(self, to => to.local_join(of, interface));
    }

    fn local_leave(&self, of: SourceGroup, interface: IfKey) {
        either!(self, to => to.local_leave(of, interface));
    }

    fn disable_igmp(&self, interface: IfKey) {
        either!(self, to => to.disable_igmp(interface));
    }

    fn enable_igmp(&self, interface: IfKey) {
        either!(self, to => to.enable_igmp(interface));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule A9, decision 91.
    #[test]
    #[expect(clippy::missing_transmute_annotations, reason = "the field has the type")]
    fn a9_each_callback_that_is_missing_is_known_to_be() {
        unsafe extern "C-unwind" fn some() {}
        // SAFETY: null functions are a value, and the others are not called.
        let mut functions: _ROUTING_PROTOCOL_CONFIG = unsafe { std::mem::zeroed() };
        let has = |functions: _ROUTING_PROTOCOL_CONFIG| {
            let client = CClient::new(functions);
            CallbackKind::ALL.map(|(kind, _)| client.has(kind))
        };
        assert_eq!(has(functions), [false; 9]);
        macro_rules! gets {
            ($at:expr, $name:ident) => {
                // SAFETY: a function pointer of another type, which is never called.
                let some = unsafe { std::mem::transmute(some as *const ()) };
                functions.$name = Some(some);
                let expected: [bool; 9] = std::array::from_fn(|at| at <= $at);
                assert_eq!(has(functions), expected);
            };
        }
        gets!(0, pfnRpfCallback);
        gets!(1, pfnCreationAlertCallback);
        gets!(2, pfnPruneAlertCallback);
        gets!(3, pfnJoinAlertCallback);
        gets!(4, pfnWrongIfCallback);
        gets!(5, pfnLocalJoinCallback);
        gets!(6, pfnLocalLeaveCallback);
        gets!(7, pfnDisableIgmpCallback);
        gets!(8, pfnEnableIgmpCallback);
    }

    #[test]
    fn flags_count_where_the_upper_half_is_ours() {
        let has = |flags| has_flag(flags, MGM_ROUTELESS_FLOWS);
        assert!(has(0x4d47_0002) && has(0x4d47_0003) && has(0x4d47_ffff));
        let others = [0, 2, 0x4d47_0000, 0x4d47_0001, 0x4d47_0004, 0xffff_ffff, 0x0002_4d47];
        assert!(!others.into_iter().any(has));
    }
}
