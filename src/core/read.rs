//! What readers see: entries (rules E11 to E13), and the whole state for administrators.

use super::Core;
use super::membership::Role;
use super::mfe::Mfe;
use super::record::{MfeRecord, OifRecord};
use super::types::{Counters, IfKey, Millis, SourceGroup};
use crate::error::Error;
use smallvec::SmallVec;

/// One client, for the state.
#[derive(Clone, Copy, Debug)]
pub struct ClientRow {
    /// dwProtocolId.
    pub protocol: u32,
    /// dwComponentId.
    pub component: u32,
    /// Whether it counts as IGMP.
    pub igmp: bool,
    /// The interfaces it is on.
    pub interfaces: u32,
}

/// One interface, for the state.
#[derive(Clone, Copy, Debug)]
pub struct InterfaceRow {
    /// Its name.
    pub key: IfKey,
    /// Protocol and component of the routing protocol that owns it.
    pub protocol: Option<(u32, u32)>,
    /// Protocol and component of the IGMP client on it.
    pub igmp: Option<(u32, u32)>,
    /// Whether packets can enter and leave.
    pub up: bool,
    /// Memberships on it.
    pub memberships: usize,
}

/// One member of a group, for the state.
#[derive(Clone, Copy, Debug)]
pub struct GroupMember {
    /// (S,G), (*,G) or (*,*).
    pub of: SourceGroup,
    /// Where.
    pub interface: IfKey,
    /// Whether IGMP or the routing protocol is the member.
    pub igmp: bool,
}

/// How much there is of everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    /// Registered clients.
    pub clients: usize,
    /// Different (S,G), (*,G) and (*,*) that have members.
    pub groups: usize,
    /// Forwarding entries.
    pub mfes: usize,
    /// Those without oifs.
    pub negative: usize,
    /// Flows whose questions are open.
    pub pending: usize,
    /// Flows refused since the start (rule G1).
    pub refused: u64,
    /// Calls of clients that are on their way.
    pub queued_alerts: usize,
    /// The cap on entries.
    pub max_mfes: u32,
}

impl Core {
    /// The entry of a flow, with these counters.
    pub fn read_mfe(
        &self,
        now: Millis,
        flow: SourceGroup,
        counters: Counters,
        give: &mut dyn FnMut(&MfeRecord<'_>),
    ) -> Result<(), Error> {
        let mfe = self.mfes.get(flow).ok_or(Error::NoSuchMfe(flow))?;
        self.give_record(now, mfe, counters, &mut |record| give(record))
    }

    /// The first flow from one on that has an entry.
    pub fn first_flow(&self, from: SourceGroup) -> Option<SourceGroup> {
        self.mfes.next_from(from).map(|(flow, _)| flow)
    }

    /// Entries in order from a flow on, without counters, until `give` returns false or `max`
    /// were given. Gives where to go on, None at the end.
    pub fn read_mfes(
        &self,
        now: Millis,
        from: SourceGroup,
        max: usize,
        give: &mut dyn FnMut(&MfeRecord<'_>) -> bool,
    ) -> Result<(Option<SourceGroup>, bool), Error> {
        for (given, (flow, id)) in self.mfes.from(from).enumerate() {
            if given == max {
                return Ok((Some(flow), true));
            }
            let mut taken = true;
            self.give_record(now, &self.mfes[id], Counters::default(), &mut |record| {
                taken = give(record)
            })?;
            if !taken {
                return Ok((Some(flow), false));
            }
        }
        Ok((None, true))
    }

    fn give_record(
        &self,
        now: Millis,
        mfe: &Mfe,
        counters: Counters,
        give: &mut dyn FnMut(&MfeRecord<'_>),
    ) -> Result<(), Error> {
        let mut oifs = SmallVec::<[OifRecord; 16]>::new();
        oifs.try_reserve(mfe.oifs.len())?;
        for oif in mfe.active() {
            let interface = self.interfaces[oif.interface()].key;
            oifs.push(OifRecord { interface, packets: oif.packets(counters) });
        }
        if oifs.len() > 1 {
            oifs.sort_unstable_by_key(|oif| oif.interface);
        }
        let iif = &self.interfaces[mfe.iif];
        give(&MfeRecord {
            flow: mfe.flow,
            iif: iif.key,
            iif_protocol: iif
                .owner()
                .and_then(|slot| self.client_info(slot))
                .map_or(0, |info| info.protocol),
            upstream: mfe.upstream,
            route_protocol: mfe.route_protocol,
            route_network: mfe.route_network,
            route_prefix_len: mfe.route_prefix_len,
            up_time_ms: now.since(mfe.created),
            expiry_ms: mfe.deadline.since(now),
            lifetime: mfe.lifetime,
            counters,
            oifs: &oifs,
        });
        Ok(())
    }

    /// The clients, by slot.
    pub fn client_rows(&self) -> impl Iterator<Item = ClientRow> + '_ {
        self.clients.iter().map(|(_, _, client)| ClientRow {
            protocol: client.info.protocol,
            component: client.info.component,
            igmp: client.info.is_igmp(),
            interfaces: client.interfaces,
        })
    }

    /// The interfaces that somebody is on, in order.
    pub fn interface_rows(&self) -> impl Iterator<Item = InterfaceRow> + '_ {
        let name = |slot: Option<u32>| {
            slot.and_then(|slot| self.client_info(slot)).map(|info| (info.protocol, info.component))
        };
        self.interfaces.iter().filter(|interface| interface.in_use()).map(move |interface| {
            InterfaceRow {
                key: interface.key,
                protocol: name(interface.protocol),
                igmp: name(interface.igmp),
                up: interface.up,
                memberships: interface.memberships.len(),
            }
        })
    }

    /// The members of the first (S,G), (*,G) or (*,*) from one on. False: there is none.
    pub fn members_from(
        &self,
        from: SourceGroup,
        give: &mut dyn FnMut(GroupMember),
    ) -> Option<SourceGroup> {
        let (of, id) = self.groups.next_from(from)?;
        for (interface, role) in self.groups[id].members() {
            let interface = self.interfaces[interface].key;
            give(GroupMember { of, interface, igmp: role == Role::Igmp });
        }
        Some(of)
    }

    /// How much there is of everything.
    pub fn totals(&self) -> Totals {
        Totals {
            clients: self.clients.len(),
            groups: self.groups.len(),
            mfes: self.mfes.len(),
            negative: self.negatives.len(),
            pending: self.flows.len(),
            refused: self.admissions.refused,
            queued_alerts: self.outbox.len(),
            max_mfes: self.admissions.limits().max_mfes,
        }
    }
}
