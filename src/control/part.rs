//! What can be asked for over the control socket.

#![forbid(unsafe_code)]

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Everything.
    State,
    /// Everything but the lists.
    Summary,
    /// The forwarding entries with their counters.
    Mfes,
    /// The memberships.
    Groups,
    /// The interfaces and who is on them.
    Interfaces,
    /// The clients.
    Clients,
    /// How much there is of everything.
    Counters,
}

impl Part {
    /// The names of all parts, as the control socket knows them.
    pub const NAMES: [&'static str; 7] =
        ["state", "summary", "mfes", "groups", "interfaces", "clients", "counters"];

    /// The part with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "state" => Self::State,
            "summary" => Self::Summary,
            "mfes" => Self::Mfes,
            "groups" => Self::Groups,
            "interfaces" => Self::Interfaces,
            "clients" => Self::Clients,
            "counters" => Self::Counters,
            _ => return None,
        })
    }

    /// Whether a part belongs to what was asked for.
    pub fn wants(self, part: Self) -> bool {
        match self {
            Self::State => true,
            Self::Summary => part == Self::Counters,
            one => one == part,
        }
    }

    /// Whether what describes the host belongs to it.
    pub fn wants_host(self) -> bool {
        matches!(self, Self::State | Self::Summary)
    }
}
