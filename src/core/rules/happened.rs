//! Notes what happens, for those who follow the events (decision 93).

#![forbid(unsafe_code)]

use crate::core::state::Core;
use crate::core::state::history::Happening;
use crate::core::state::members::Role;
use crate::core::state::mfe::Mfe;
use crate::types::SourceGroup;

impl Core {
    pub(in crate::core) fn member_happened(
        &mut self,
        slot: u32,
        role: Role,
        of: SourceGroup,
        interface: u32,
        came: bool,
    ) {
        self.happened(|core| {
            let who = core.client_info(slot).map(|info| info.name());
            let (interface, igmp) = (core.interfaces[interface].key, role == Role::Igmp);
            Happening::Member { of, interface, who, igmp, came }
        });
    }

    pub(in crate::core) fn owner_happened(&mut self, slot: u32, id: u32, came: bool) {
        if let Some(who) = self.client_info(slot).map(|info| info.name()) {
            let interface = self.interfaces[id].key;
            self.happened(|_| Happening::Interface { interface, who, came });
        }
    }

    /// An interface that somebody is on is up or down now.
    pub(in crate::core) fn up_happened(&mut self, id: u32) {
        if !self.interfaces[id].in_use() {
            return;
        }
        self.happened(|core| {
            let interface = &core.interfaces[id];
            Happening::Up { interface: interface.key, up: interface.up }
        });
    }

    #[inline]
    pub(in crate::core) fn entry_happened(&mut self, id: u32, came: bool) {
        self.happened(|core| {
            let mfe = &core.mfes[id];
            let iif = core.interfaces[mfe.iif].key;
            Happening::Entry { flow: mfe.flow(), iif, resolved: !mfe.is(Mfe::UNRESOLVED), came }
        });
    }

    #[inline]
    pub(in crate::core) fn iif_happened(&mut self, id: u32) {
        self.happened(|core| {
            let mfe = &core.mfes[id];
            let iif = core.interfaces[mfe.iif].key;
            Happening::Iif { flow: mfe.flow(), iif, resolved: !mfe.is(Mfe::UNRESOLVED) }
        });
    }

    #[inline]
    pub(in crate::core) fn oif_happened(&mut self, id: u32, interface: u32, came: bool) {
        self.happened(|core| {
            let (flow, oif) = (core.mfes[id].flow(), core.interfaces[interface].key);
            Happening::Oif { flow, oif, came }
        });
    }

    /// All oifs of an entry join its list as it is made, or leave it as it is deleted.
    #[inline]
    pub(in crate::core) fn oifs_happened(&mut self, id: u32, came: bool) {
        if self.history.is_followed() {
            let mfe = &self.mfes[id];
            for oif in mfe.active() {
                let oif = self.interfaces[oif.interface()].key;
                self.history.push(Happening::Oif { flow: mfe.flow(), oif, came });
            }
        }
    }
}
