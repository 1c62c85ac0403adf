//! What readers see: entries (rules E11 to E13), and the whole state for administrators.

use crate::core::state::Core;
use crate::core::state::interfaces::Interface;
use crate::core::state::limits::Limits;
use crate::core::state::members::{Holder, Role};
use crate::core::state::mfe::Mfe;
use crate::core::state::record::{Counted, MfeRecord, OifRecord};
use crate::error::Error;
use crate::types::{IfKey, Millis, SourceGroup};
use smallvec::SmallVec;
use std::hint::black_box;
use std::net::Ipv4Addr;

/// How many entries are loaded into the cache at a time.
const AHEAD: usize = 32;
/// How many entries' counters are asked for at a time; a multiple of `AHEAD`.
pub const MAX_ROWS: usize = 2 * AHEAD;
/// How many oifs a record has room for without an allocation.
const FEW_OIFS: usize = 8;
const NO_OIF: OifRecord =
    OifRecord { interface: IfKey::new(0, Ipv4Addr::UNSPECIFIED), packets: 0, ttl_too_low: 0 };

/// An entry and the number that it has.
pub type Row = (SourceGroup, u32);
/// Entries whose counters are asked for together.
pub type Rows = SmallVec<[Row; MAX_ROWS]>;

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

/// One membership, for the state.
#[derive(Clone, Copy, Debug)]
pub struct GroupMember {
    /// (S,G), (*,G) or (*,*).
    pub of: SourceGroup,
    /// Where.
    pub interface: IfKey,
    /// Protocol and component of the client that has it.
    pub client: Option<(u32, u32)>,
    /// Whether that client is on the interface as IGMP or as the routing protocol.
    pub igmp: bool,
}

/// A place in a walk through memberships: group and source, the interface's number, and whether it
/// was IGMP's.
pub type MemberPlace = (SourceGroup, u32, bool);

/// How many things of each kind there are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    /// Registered clients.
    pub clients: usize,
    /// Different (S,G), (*,G) and (*,*) that have members.
    pub groups: usize,
    /// Memberships, each interface's and each client's counted apart.
    pub memberships: usize,
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
    /// The entry of a flow, with what the plane counted for it.
    pub fn read_mfe(
        &self,
        now: Millis,
        flow: SourceGroup,
        counted: Counted<'_>,
        give: &mut dyn FnMut(&MfeRecord<'_>),
    ) -> Result<(), Error> {
        let mfe = self.mfes.get(flow).ok_or(Error::NoSuchMfe(flow))?;
        self.give_record(now, mfe, counted, give)
    }

    /// The next entries in order from a flow on, for [`Self::read_rows`]: at most [`MAX_ROWS`], up
    /// to the first one whose record finds no room. `has_room` tells for each, by its number of
    /// oifs.
    pub fn rows_from(&self, from: SourceGroup, mut has_room: impl FnMut(usize) -> bool) -> Rows {
        let (mut ahead, mut rows) = (self.mfes.from(from), Rows::new());
        while rows.len() < MAX_ROWS {
            let known = rows.len();
            rows.extend(ahead.by_ref().take(AHEAD));
            let mfes = self.together(rows[known..].iter().map(|(_, id)| id));
            let mut fits = |mfe: &Mfe| has_room(mfe.active().count());
            if let Some(last) = mfes.iter().flatten().position(|mfe| !fits(mfe)) {
                rows.truncate(known + last + 1);
                break;
            }
            if rows.len() < known + AHEAD {
                break;
            }
        }
        rows
    }

    /// Gives entries that [`Self::rows_from`] chose, each with what the plane counted for it, until
    /// `give` returns false. The result is true where it never did.
    pub fn read_rows(
        &self,
        now: Millis,
        rows: &[Row],
        counted: &[Counted<'_>],
        mut give: impl FnMut(&MfeRecord<'_>) -> bool,
    ) -> Result<bool, Error> {
        for ((flow, id), counted) in rows.iter().zip(counted) {
            // An entry of that flow may have another number now.
            let there = self.mfes.by_number(*id).filter(|mfe| mfe.flow() == *flow);
            if let Some(mfe) = there.or_else(|| self.mfes.get(*flow))
                && !self.give_record(now, mfe, *counted, &mut give)?
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Loads entries into the cache together. Neighbours in order are far apart in memory, and
    /// their cache misses overlap when nothing waits for a single one.
    fn together<'a>(&self, ids: impl Iterator<Item = &'a u32>) -> [Option<&Mfe>; AHEAD] {
        let (mut mfes, mut touched) = ([None; AHEAD], 0u16);
        for (place, id) in mfes.iter_mut().zip(ids) {
            let mfe = &self.mfes[*id];
            touched = touched.wrapping_add(mfe.touch());
            *place = Some(mfe);
        }
        black_box(touched);
        mfes
    }

    /// The first flow from one on that has an entry.
    pub fn first_flow(&self, from: SourceGroup) -> Option<SourceGroup> {
        self.mfes.next_from(from).map(|(flow, _)| flow)
    }

    /// Gives entries in order from a flow on, without counters, until `give` returns false or `max`
    /// were given. The result is where to go on, None at the end.
    pub fn read_mfes(
        &self,
        now: Millis,
        from: SourceGroup,
        max: usize,
        mut give: impl FnMut(&MfeRecord<'_>) -> bool,
    ) -> Result<(Option<SourceGroup>, bool), Error> {
        let mut left = max;
        for (flows, ids) in self.mfes.runs_from(from) {
            for (flows, ids) in flows.chunks(AHEAD).zip(ids.chunks(AHEAD)) {
                let mfes = self.together(ids.iter());
                for (flow, mfe) in flows.iter().zip(mfes.into_iter().flatten()) {
                    if left == 0 {
                        return Ok((Some(*flow), true));
                    }
                    left -= 1;
                    if !self.give_record(now, mfe, Counted::Nothing, &mut give)? {
                        return Ok((Some(*flow), false));
                    }
                }
            }
        }
        Ok((None, true))
    }

    #[inline]
    fn give_record<R>(
        &self,
        now: Millis,
        mfe: &Mfe,
        counted: Counted<'_>,
        give: impl FnOnce(&MfeRecord<'_>) -> R,
    ) -> Result<R, Error> {
        match long_room(mfe.oifs.len())? {
            None => Ok(give(&self.record(now, mfe, counted, &mut [NO_OIF; FEW_OIFS]))),
            Some(mut room) => Ok(give(&self.record(now, mfe, counted, &mut room))),
        }
    }

    /// Makes the record of an entry. `oifs` must have room for each interface that the entry knows.
    /// It is inlined so that the record need not be copied, which saves 20 instructions a row.
    #[inline(always)]
    fn record<'a>(
        &self,
        now: Millis,
        mfe: &Mfe,
        counted: Counted<'_>,
        room: &'a mut [OifRecord],
    ) -> MfeRecord<'a> {
        let mut counters = match counted {
            Counted::Entry(counters) => Some(counters),
            Counted::Nothing | Counted::Each(_) => None,
        };
        let mut used = 0;
        for (place, oif) in room.iter_mut().zip(mfe.active()) {
            let interface = self.interfaces[oif.interface()].key;
            let packets = counters.map_or(0, |c| oif.packets(c));
            *place = OifRecord { interface, packets, ttl_too_low: 0 };
            used += 1;
        }
        let oifs = &mut room[..used];
        if let Counted::Each(count) = counted {
            counters = Some(count(mfe.flow(), oifs));
            for (oif, _) in oifs.iter_mut().zip(mfe.active()).filter(|(_, oif)| !oif.counts()) {
                (oif.packets, oif.ttl_too_low) = (0, 0);
            }
        }
        // Most are in order already, because interfaces are numbered as they are taken.
        if !oifs.is_sorted_by_key(|oif| oif.interface) {
            oifs.sort_unstable_by_key(|oif| oif.interface);
        }
        let iif = &self.interfaces[mfe.iif];
        let owner = iif.owner().and_then(|slot| self.client_info(slot));
        MfeRecord {
            flow: mfe.flow(),
            iif: iif.key,
            iif_protocol: owner.map_or(0, |info| info.protocol),
            upstream: mfe.upstream,
            route_protocol: mfe.route_protocol,
            route_network: mfe.route_network(),
            route_prefix_len: mfe.route_prefix_len(),
            resolved: !mfe.is(Mfe::UNRESOLVED),
            up_time_ms: now.since(mfe.created()),
            expiry_ms: mfe.deadline().since(now),
            lifetime: mfe.lifetime(),
            counters: counters.unwrap_or_default(),
            oifs,
        }
    }

    /// The clients after a slot, in the order of slots.
    pub fn client_rows(
        &self,
        after: Option<u32>,
    ) -> impl Iterator<Item = (u32, ClientRow)> + use<'_> {
        let from = after.map_or(0, |slot| slot + 1);
        self.clients.iter_from(from).map(|(slot, _, client)| {
            let row = ClientRow {
                protocol: client.info.protocol,
                component: client.info.component,
                igmp: client.info.is_igmp(),
                interfaces: client.interfaces,
            };
            (slot, row)
        })
    }

    /// The interfaces after one that somebody is on, in order.
    pub fn interface_rows(
        &self,
        after: Option<IfKey>,
    ) -> impl Iterator<Item = (IfKey, InterfaceRow)> + use<'_> {
        self.interfaces
            .iter_after(after)
            .filter(|interface| interface.in_use())
            .map(|interface| (interface.key, self.row_of(interface)))
    }

    /// One interface that a client is on.
    pub fn interface_row(&self, key: IfKey) -> Option<InterfaceRow> {
        self.interfaces.find_used(key).map(|id| self.row_of(&self.interfaces[id]))
    }

    fn row_of(&self, interface: &Interface) -> InterfaceRow {
        InterfaceRow {
            key: interface.key,
            protocol: interface.protocol.and_then(|slot| self.name_of(slot)),
            igmp: interface.igmp.and_then(|slot| self.name_of(slot)),
            up: interface.up,
            memberships: interface.membership_count(),
        }
    }

    /// The memberships after a place, by group, source and interface.
    pub fn membership_rows(
        &self,
        after: Option<MemberPlace>,
    ) -> impl Iterator<Item = (MemberPlace, GroupMember)> + use<'_> {
        let (from, number) = after.map_or((SourceGroup::ALL, 0), |(of, number, _)| (of, number));
        self.groups
            .from(from)
            .flat_map(move |(of, id)| {
                let first = if of == from { number } else { 0 };
                let members = self.groups[id].members_from(first);
                members.map(move |(interface, role)| (of, interface, role))
            })
            .filter(|(_, interface, role)| {
                self.interfaces[*interface].ending & Holder::bit(*role) == 0
            })
            .map(|(of, interface, role)| ((of, interface, role == Role::Igmp), role))
            .filter(move |(place, _)| after.is_none_or(|after| *place > after))
            .map(|(place @ (of, number, igmp), role)| {
                let interface = &self.interfaces[number];
                let slot = match role {
                    Role::Protocol => interface.protocol,
                    Role::Igmp => interface.igmp,
                };
                let client = slot.and_then(|slot| self.name_of(slot));
                (place, GroupMember { of, interface: interface.key, client, igmp })
            })
    }

    /// Protocol and component of the client in a slot.
    fn name_of(&self, slot: u32) -> Option<(u32, u32)> {
        self.client_info(slot).map(|info| (info.protocol, info.component))
    }

    /// The limits of rule G1, and the greatest number of negative entries that follows.
    pub const fn limits(&self) -> (Limits, usize) {
        (self.admissions.limits(), self.admissions.max_negative())
    }

    /// How many things of each kind there are.
    pub fn totals(&self) -> Totals {
        Totals {
            clients: self.clients.len(),
            groups: self.groups.len(),
            memberships: self.memberships,
            mfes: self.mfes.len(),
            negative: self.negatives.len(),
            pending: self.flows.len(),
            refused: self.admissions.refused,
            queued_alerts: self.outbox.queued(),
            max_mfes: self.admissions.limits().max_mfes,
        }
    }
}

/// Room for the oifs of a record, which is allocated where they are many.
#[inline]
fn long_room(oifs: usize) -> Result<Option<Vec<OifRecord>>, Error> {
    if oifs <= FEW_OIFS {
        return Ok(None);
    }
    let mut room = Vec::new();
    room.try_reserve_exact(oifs)?;
    room.resize(oifs, NO_OIF);
    Ok(Some(room))
}
