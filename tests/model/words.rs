//! The words of the tests: what a program does to the group manager, and what it can observe.
//!
//! Everything here is plain data. The model and the two real libraries are driven by the same
//! [`Op`]s and answer in the same [`Event`]s, so that comparing them is `==`.

use mgm::types::{IfKey, SourceGroup};
use std::net::Ipv4Addr;

/// The codes, written down again so that a wrong number in the library is noticed.
pub mod code {
    pub const NO_ERROR: u32 = 0;
    pub const INVALID_PARAMETER: u32 = 87;
    pub const INSUFFICIENT_BUFFER: u32 = 122;
    pub const ALREADY_EXISTS: u32 = 183;
    pub const MORE_DATA: u32 = 234;
    pub const NO_MORE_ITEMS: u32 = 259;
    pub const CAN_NOT_COMPLETE: u32 = 1003;
    pub const NOT_FOUND: u32 = 1168;
}

/// MGM_JOIN_STATE_FLAG.
pub const JOIN: u32 = 1;
/// MGM_FORWARD_STATE_FLAG.
pub const FORWARD: u32 = 2;

/// A test client's number: the place of its [`Profile`] in the list of profiles. At most one
/// registration of a profile is alive, so the number also names who was called back.
pub type Client = usize;

/// Which of the handles the program ever got: the n-th, the dead ones included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handle {
    /// The n-th of all handles obtained, counted round; forged while there is none.
    Nth(usize),
    /// A word that was never handed out.
    Forged,
}

/// One call, packet, change of the world, or step of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    Register(Client),
    Deregister(Handle),
    Take(Handle, IfKey),
    Release(Handle, IfKey),
    Owner(IfKey),
    Add(Handle, SourceGroup, IfKey, u32),
    Delete(Handle, SourceGroup, IfKey, u32),
    SetUpstream(Handle, SourceGroup, Ipv4Addr),
    ReadMfe(SourceGroup),
    /// Entries after this one, or from the first on, as records of one form, with room for so many
    /// octets.
    ReadMfes {
        after: Option<SourceGroup>,
        record: Record,
        room: usize,
    },
    StartEnum(Handle, bool),
    NextGroups(Handle, usize),
    EndEnum(Handle),
    /// A packet comes in.
    Packet(IfKey, Packet),
    /// The route to this prefix now leads to this interface, or is gone.
    Route {
        network: Ipv4Addr,
        len: u8,
        to: Option<IfKey>,
    },
    /// MgmHostRouteChanged without a change.
    RouteChanged {
        network: Ipv4Addr,
        len: u8,
    },
    Down(IfKey),
    /// So many seconds pass, and lifetimes that end are dealt with.
    Advance(u32),
    /// A client's own loop calls what waits for it (rules H).
    Dispatch(Handle),
}

impl Op {
    /// Whether it changes nothing and tells nobody anything.
    pub fn only_reads(&self) -> bool {
        let mfes = matches!(self, Self::ReadMfe(_) | Self::ReadMfes { .. });
        let groups = matches!(self, Self::StartEnum(..) | Self::NextGroups(..) | Self::EndEnum(_));
        mfes || groups || matches!(self, Self::Owner(_))
    }

    /// Whether a host does it, and not a client.
    pub fn is_the_hosts(&self) -> bool {
        let routes = matches!(self, Self::Route { .. } | Self::RouteChanged { .. });
        routes || matches!(self, Self::Packet(..) | Self::Down(_) | Self::Advance(_))
    }
}

/// The forms in which mgm.h gives an entry: MIB_IPMCAST_MFE, _STATS and _STATS_EX.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    Plain,
    Stats,
    StatsEx,
}

impl Record {
    /// The octets of a record with so many outgoing interfaces.
    pub const fn size(self, oifs: usize) -> usize {
        match self {
            Self::Plain => 60 + 16 * oifs,
            Self::Stats => 64 + 28 * oifs,
            Self::StatsEx => 84 + 28 * oifs,
        }
    }

    /// What this form shows of an entry.
    pub fn shows(self, mut mfe: Mfe) -> Mfe {
        if self == Self::Plain {
            (mfe.packets, mfe.octets, mfe.wrong_if) = (0, 0, 0);
            mfe.oifs.iter_mut().for_each(|(_, counts)| *counts = OifCounts::default());
        } else {
            mfe.lifetime = 0;
        }
        mfe
    }
}

/// A UDP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    pub flow: SourceGroup,
    pub ttl: u8,
    /// How many 4-octet words of options its header has.
    pub options: u8,
    /// In all.
    pub octets: u16,
}

/// The nine callbacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Rpf,
    Creation,
    Prune,
    Join,
    WrongIf,
    LocalJoin,
    LocalLeave,
    Disable,
    Enable,
}

impl Kind {
    pub const EVERY: [Self; 9] = [
        Self::Rpf,
        Self::Creation,
        Self::Prune,
        Self::Join,
        Self::WrongIf,
        Self::LocalJoin,
        Self::LocalLeave,
        Self::Disable,
        Self::Enable,
    ];
}

/// What a test client does when it is called back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    /// Its callback pointers of these kinds are null.
    pub nulls: Vec<Kind>,
    /// Its creation callback disables these interfaces.
    pub veto: Vec<IfKey>,
    /// Its RPF callback names this interface.
    pub rpf_iif: Option<IfKey>,
    /// Its RPF callback names this upstream neighbour.
    pub rpf_upstream: Option<Ipv4Addr>,
    /// Its prune callback writes this timeout.
    pub prune_timeout: Option<u32>,
    /// What it calls from inside its callbacks: each entry once, the first that fits.
    pub nested: Vec<(Kind, Op)>,
}

impl Script {
    /// Takes out what is to be called from inside a callback of this kind.
    pub fn take_nested(&mut self, kind: Kind) -> Option<Op> {
        let at = self.nested.iter().position(|(k, _)| *k == kind)?;
        Some(self.nested.remove(at).1)
    }
}

impl World {
    /// An incoming interface as a reader sees it.
    pub fn seen_iif(&self, iif: IfKey) -> IfKey {
        if self.seen_from_c { IfKey::new(iif.index, Ipv4Addr::UNSPECIFIED) } else { iif }
    }
}

/// A test client: what it registers as and how it behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    pub protocol: u32,
    pub component: u32,
    /// It asks for flows without a route (rule E5).
    pub routeless: bool,
    /// It registers with MGM_DISPATCHED (rules H).
    pub dispatched: bool,
    pub script: Script,
}

/// What a program sets up before it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct World {
    pub profiles: Vec<Profile>,
    /// The cap of rule G1; 0: the default.
    pub max_mfes: u32,
    /// The limits of rule G1 on new entries in one second, in all and for one source; 0: none.
    pub max_new: u32,
    pub max_new_of_source: u32,
    /// Without pfnRoute the arrival interface is the route.
    pub null_route: bool,
    /// How much of a change the library carries out at a time (Rust API).
    pub portion: usize,
    /// Entries are seen through mgm.h, whose records lack the next hop of the iif.
    pub seen_from_c: bool,
    /// The host is another process: others are told of what a call inside a callback causes when
    /// that callback has returned.
    pub remote: bool,
}

/// The part of an IP header that callbacks are compared by: the TTL and the checksum of a
/// header that the library made itself (rule E8) are nobody's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Of the header with its options, and of all that was given.
    pub header: usize,
    pub octets: usize,
    pub source: Ipv4Addr,
    pub group: Ipv4Addr,
}

/// A callback with all its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Callback {
    Rpf {
        flow: SourceGroup,
        iif: IfKey,
        upstream: Ipv4Addr,
        header: Header,
        /// The prefix of pbRoute, if that is not null.
        route: Option<(Ipv4Addr, u8)>,
    },
    /// `out`: interface, bIGMP, bIsEnabled; sorted, since no rule orders them.
    Creation {
        flow: SourceGroup,
        iif: IfKey,
        out: Vec<(IfKey, bool, bool)>,
    },
    Prune {
        of: SourceGroup,
        on: IfKey,
        member: bool,
        timeout: u32,
    },
    Join {
        of: SourceGroup,
        member: bool,
    },
    WrongIf {
        flow: SourceGroup,
        on: IfKey,
        header: Header,
    },
    LocalJoin {
        of: SourceGroup,
        on: IfKey,
    },
    LocalLeave {
        of: SourceGroup,
        on: IfKey,
    },
    Disable(IfKey),
    Enable(IfKey),
}

impl Callback {
    /// The entry that it is about, if it is about one.
    pub fn flow(&self) -> Option<SourceGroup> {
        match self {
            Self::Rpf { flow, .. } | Self::Creation { flow, .. } | Self::WrongIf { flow, .. } => {
                Some(*flow)
            }
            Self::Prune { of, member: false, .. } | Self::Join { of, member: false } => Some(*of),
            _ => None,
        }
    }

    pub fn kind(&self) -> Kind {
        match self {
            Self::Rpf { .. } => Kind::Rpf,
            Self::Creation { .. } => Kind::Creation,
            Self::Prune { .. } => Kind::Prune,
            Self::Join { .. } => Kind::Join,
            Self::WrongIf { .. } => Kind::WrongIf,
            Self::LocalJoin { .. } => Kind::LocalJoin,
            Self::LocalLeave { .. } => Kind::LocalLeave,
            Self::Disable(_) => Kind::Disable,
            Self::Enable(_) => Kind::Enable,
        }
    }
}

/// What a call gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub code: u32,
    pub data: Data,
}

impl Reply {
    pub fn code(code: u32) -> Self {
        Self { code, data: Data::Nothing }
    }

    pub fn is_failure(&self) -> bool {
        self.code != code::NO_ERROR
    }
}

/// The output of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    Nothing,
    /// Protocol id and component id.
    Owner(u32, u32),
    Mfe(Box<Mfe>),
    Groups(Vec<SourceGroup>),
    /// What fitted; where nothing did, the octets that the first one needs.
    Mfes(Vec<Mfe>, usize),
}

/// What happens, in the order in which it happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A client's callback begins.
    Begin(Client, Callback),
    /// It calls back in.
    Call(Op),
    /// That call returns.
    Return(Reply),
    /// The client's callback returns.
    End(Client),
}

/// A copy of a packet that left an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sent {
    pub on: IfKey,
    pub flow: SourceGroup,
    pub ttl: u8,
    /// How many events had happened by then.
    pub after: usize,
}

/// What one operation brought about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub reply: Reply,
    pub events: Vec<Event>,
    pub sent: Vec<Sent>,
}

/// What is counted for an outgoing interface since it joined the entry (rule E13).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OifCounts {
    pub packets: u32,
    pub ttl_too_low: u32,
}

/// A forwarding entry with its statistics: everything rules E12 and E13 name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mfe {
    pub flow: SourceGroup,
    pub iif: IfKey,
    pub iif_protocol: u32,
    pub upstream: Ipv4Addr,
    pub route_protocol: u32,
    pub route_network: Ipv4Addr,
    pub route_len: u8,
    /// Seconds since it was made, until it ends, and of its whole lifetime.
    pub up: u32,
    pub expiry: u32,
    pub lifetime: u32,
    pub packets: u32,
    pub octets: u32,
    pub wrong_if: u32,
    /// With what each counted; sorted.
    pub oifs: Vec<(IfKey, OifCounts)>,
}

/// What can be read at one moment without changing anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    pub mfes: Vec<Mfe>,
    /// Of every interface that the tests use.
    pub owners: Vec<(IfKey, Reply)>,
    /// The handles, by number, whose descriptor is readable (rule H2).
    pub waiting: Vec<usize>,
}

/// Something the tests can drive: the model, the Rust API, or the C ABI of a libmgm.so.
pub trait Drive {
    /// Does it, and says what it gave and what happened meanwhile.
    fn run(&mut self, op: &Op) -> Outcome;
    /// Reads everything.
    fn look(&mut self) -> Snapshot;
}
