//! What a router must hold, worked out from what was done to it and from nothing it says.

use mgm::types::SourceGroup;
use std::collections::HashSet;

/// Memberships and routes, by the numbers of devices.
#[derive(Default)]
pub struct Expected {
    members: HashSet<(usize, SourceGroup)>,
    /// The device that each source network is routed to.
    routes: [Option<usize>; 2],
}

impl Expected {
    /// A membership was added.
    pub fn joined(&mut self, on: usize, of: SourceGroup) {
        self.members.insert((on, of));
    }

    /// A membership was deleted.
    pub fn left(&mut self, on: usize, of: SourceGroup) {
        self.members.remove(&(on, of));
    }

    /// All memberships on a device went with their client.
    pub fn all_left(&mut self, on: usize) {
        self.members.retain(|(device, _)| *device != on);
    }

    /// The route of a source network.
    pub fn routed(&mut self, network: usize, to: Option<usize>) {
        self.routes[network] = to;
    }

    /// A device was set down: the routes that led to it are gone and stay so.
    pub fn was_down(&mut self, device: usize) {
        for route in &mut self.routes {
            *route = route.filter(|to| *to != device);
        }
    }

    /// The device that the flow's packets must come in on; None: without a route.
    pub fn iif(&self, network: usize) -> Option<usize> {
        self.routes[network]
    }

    /// The devices that the flow's packets go out of, in order (rules D6, E5).
    pub fn oifs(&self, flow: SourceGroup, network: usize) -> Vec<usize> {
        let Some(iif) = self.routes[network] else { return Vec::new() };
        let wanted = [SourceGroup::ALL, flow.any_source(), flow];
        (0..4)
            .filter(|on| *on != iif && wanted.iter().any(|of| self.members.contains(&(*on, *of))))
            .collect()
    }
}
