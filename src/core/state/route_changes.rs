//! The latest changes of routes, which tell whether the answer to a look-up still holds when it
//! comes.

use crate::core::state::Core;
use crate::types::{Route, mask_of};
use std::net::Ipv4Addr;

/// How many changes are remembered. There are fewer during one look-up, even while a whole table of
/// routes is exchanged.
const KEPT: usize = 256;

/// A moment in the order of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoutesAsOf(u64);

/// The answer to a look-up of the route toward a source.
#[derive(Clone, Copy, Debug)]
pub struct Looked {
    /// None: there is no route.
    pub route: Option<Route>,
    /// When the look-up began.
    pub as_of: RoutesAsOf,
}

/// The latest changes of routes.
pub(in crate::core) struct RouteChanges {
    /// How many there ever were. Change number `n` is in place `n % KEPT`.
    count: u64,
    latest: [(u32, u8); KEPT],
}

impl RouteChanges {
    pub(in crate::core) const fn new() -> Self {
        Self { count: 0, latest: [(0, 0); KEPT] }
    }

    /// Whether the route toward a source may have changed since a moment.
    pub(in crate::core) fn concern(&self, source: Ipv4Addr, since: RoutesAsOf) -> bool {
        self.has_forgotten(since) || self.surely_concern(source, since)
    }

    const fn has_forgotten(&self, since: RoutesAsOf) -> bool {
        self.count - since.0 > KEPT as u64
    }

    /// Whether a change since a moment, which is still remembered, contains the source.
    fn surely_concern(&self, source: Ipv4Addr, since: RoutesAsOf) -> bool {
        let first = since.0.max(self.count.saturating_sub(KEPT as u64));
        (first..self.count).any(|number| {
            let (network, len) = self.latest[(number % KEPT as u64) as usize];
            (network ^ source.to_bits()) & mask_of(len).to_bits() == 0
        })
    }
}

impl Core {
    /// The present moment, to be taken before a route is looked up.
    pub const fn routes_as_of(&self) -> RoutesAsOf {
        RoutesAsOf(self.route_changes.count)
    }

    /// Whether routes over a source have surely changed since a moment. The flows of the source are
    /// looked at because of that change, so an earlier answer is of no use to them.
    pub fn has_route_changed(&self, source: Ipv4Addr, since: RoutesAsOf) -> bool {
        self.route_changes.surely_concern(source, since)
    }

    /// Notes that routes under a prefix have changed, so that earlier look-ups do not count any
    /// more. Must be called before the flows that the change concerns are looked at.
    pub const fn routes_changed(&mut self, network: Ipv4Addr, prefix_len: u8) {
        let changes = &mut self.route_changes;
        changes.latest[(changes.count % KEPT as u64) as usize] = (network.to_bits(), prefix_len);
        changes.count += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::state::limits::Limits;

    #[test]
    fn a_change_concerns_what_its_prefix_holds_and_what_is_forgotten_all() {
        let mut core = Core::new(Limits::default(), 1, u32::MAX);
        let ip = Ipv4Addr::new;
        let before = core.routes_as_of();
        let concerned = |core: &Core, source| core.route_changes.concern(source, before);
        assert!(!concerned(&core, ip(10, 1, 0, 1)));
        core.routes_changed(ip(10, 1, 0, 0), 16);
        for _ in 1..KEPT {
            core.routes_changed(ip(10, 2, 0, 0), 16);
        }
        assert!(concerned(&core, ip(10, 1, 0, 1)) && concerned(&core, ip(10, 2, 255, 1)));
        assert!(!concerned(&core, ip(10, 3, 0, 1)));
        assert!(!core.route_changes.concern(ip(10, 1, 0, 1), core.routes_as_of()));
        assert!(core.has_route_changed(ip(10, 1, 0, 1), before));
        core.routes_changed(ip(10, 2, 0, 0), 16);
        assert!(concerned(&core, ip(10, 3, 0, 1)), "there are too many to tell");
        let sure = [1, 2, 3].map(|net| core.has_route_changed(ip(10, net, 0, 1), before));
        assert_eq!(sure, [false, true, false], "the first was forgotten");
        let before = core.routes_as_of();
        core.routes_changed(ip(0, 0, 0, 0), 0);
        assert!(core.route_changes.concern(ip(10, 3, 0, 1), before));
    }
}
