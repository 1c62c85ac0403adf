//! Clients, and the enumerations that they have open.

use crate::types::{ClientId, ClientName, SourceGroup};

/// MS_IP_IGMP.
const IGMP_ID: u32 = 0x4137_000a;
/// PROTO_IP_IGMP.
const IGMP_PROTOCOL: u32 = 10;
/// PROTO_TYPE_MCAST, as the upper two bits hold it.
const TYPE_MCAST: u32 = 1;

/// Who registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientInfo {
    /// dwProtocolId.
    pub protocol: u32,
    /// dwComponentId.
    pub component: u32,
    /// Whether it has a local-join callback (rule D9).
    pub has_local_join: bool,
    /// Whether it asks for flows without a route or an owner toward their source (rule E5).
    pub takes_routeless: bool,
}

impl ClientInfo {
    /// Its name in the log.
    pub const fn name(&self) -> ClientName {
        ClientName { protocol: self.protocol, component: self.component }
    }

    /// Whether this is IGMP: MS_IP_IGMP, a multicast protocol numbered PROTO_IP_IGMP, or plain
    /// PROTO_IP_IGMP.
    pub const fn is_igmp(&self) -> bool {
        self.protocol == IGMP_ID
            || self.protocol == IGMP_PROTOCOL
            || (self.protocol >> 30 == TYPE_MCAST && self.protocol & 0xffff == IGMP_PROTOCOL)
    }
}

/// A registered client.
pub(in crate::core) struct Client {
    pub info: ClientInfo,
    /// How many interfaces it is on or is about to own.
    pub interfaces: u32,
    /// Questions of new flows that it has not answered.
    pub questions: u32,
}

/// The greatest number of clients, and of enumerations, at one time. Handles on 32-bit machines
/// have 16 bits for the slot.
pub(in crate::core) const MAX_SLOTS: u32 = 1 << 16;

/// An open enumeration.
pub(in crate::core) struct Enumeration {
    pub(in crate::core) client: ClientId,
    pub(in crate::core) all_sources: bool,
    /// Where the next row is looked for; None: the end was reached.
    pub(in crate::core) next: Option<SourceGroup>,
}
