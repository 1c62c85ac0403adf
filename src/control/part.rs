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
    /// The changes from one with this number on; None: those that come from now on.
    Events(Option<u64>),
}

impl Part {
    /// The names of all parts, as the control socket knows them.
    pub const NAMES: [&'static str; 8] =
        ["state", "summary", "mfes", "groups", "interfaces", "clients", "counters", "events"];

    /// The part with this name, which for changes may have a number behind it.
    pub fn from_name(name: &str) -> Option<Self> {
        if let Some(number) = name.strip_prefix("events ") {
            let digits = number.bytes().all(|digit| digit.is_ascii_digit());
            return Some(Self::Events(Some(number.parse().ok().filter(|_| digits)?)));
        }
        Some(match name {
            "state" => Self::State,
            "summary" => Self::Summary,
            "mfes" => Self::Mfes,
            "groups" => Self::Groups,
            "interfaces" => Self::Interfaces,
            "clients" => Self::Clients,
            "counters" => Self::Counters,
            "events" => Self::Events(None),
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
