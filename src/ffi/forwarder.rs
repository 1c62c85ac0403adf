//! The C functions of a host: its forwarding plane ([`HostPlane`]), route look-up, transmission,
//! log and clock.

use super::convert::{address, dword, interface, prefix_len};
use super::returning::must_return;
use super::types::{
    _MGM_HOST_CONFIG, _MGM_HOST_FORWARDER, _MGM_MFE_COUNTERS, _MGM_ROUTE, _MIB_IPMCAST_OIF, DWORD,
    PVOID,
};
use crate::error::code;
use crate::forwarder::EntryState;
use crate::forwarder::custom::HostPlane;
use crate::log::{Level, Line, to_stderr};
use crate::shell::host_calls::HostCalls;
use crate::sys::border::InPlane;
use crate::types::{Counters, IfKey, Millis, PATIENCE, Route, SourceGroup};
use smallvec::SmallVec;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// A host's function and the pvContext that is its first argument.
///
/// The caller of MgmHostStart promised that it can be called from any thread until MgmHostStop has
/// returned, and [`HostCalls`] makes sure that it is not called later.
#[derive(Clone)]
pub(super) struct HostFn<F> {
    function: F,
    context: PVOID,
    calls: Arc<HostCalls>,
}

// SAFETY: the context is only handed back to the host, whose promise covers every thread.
unsafe impl<F: Send> Send for HostFn<F> {}
// SAFETY: as above.
unsafe impl<F: Sync> Sync for HostFn<F> {}

impl<F> HostFn<F> {
    /// None where the host gave no function.
    pub(super) fn new(function: Option<F>, context: PVOID, calls: &Arc<HostCalls>) -> Option<Self> {
        Some(Self { function: function?, context, calls: Arc::clone(calls) })
    }
}

type CRouteFn = unsafe extern "C-unwind" fn(PVOID, DWORD, *mut _MGM_ROUTE) -> DWORD;
type CTransmitFn = unsafe extern "C-unwind" fn(PVOID, DWORD, DWORD, *const u8, DWORD);
type CLogFn = unsafe extern "C-unwind" fn(PVOID, DWORD, *const std::ffi::c_char);
type CClockFn = unsafe extern "C-unwind" fn(PVOID) -> u64;

impl HostFn<CRouteFn> {
    /// The route toward a source, or the host's code. A mask that is no prefix counts as far as
    /// its leading ones go.
    pub(super) fn route(&self, source: Ipv4Addr) -> Result<Route, u32> {
        let mut route = _MGM_ROUTE::default();
        // SAFETY: see `HostFn`; the route is ours, writable for the call.
        let call = || unsafe { (self.function)(self.context, dword(source), &raw mut route) };
        match self.calls.call(|| must_return(call)).unwrap_or(code::ERROR_NOT_FOUND) {
            code::NO_ERROR => {}
            code => return Err(code),
        }
        let mask = address(route.dwRouteMask).to_bits();
        let prefix_len =
            prefix_len(route.dwRouteMask, "dwRouteMask").unwrap_or(mask.leading_ones() as u8);
        Ok(Route {
            interface: interface(route.dwIfIndex, route.dwIfNextHopAddr),
            upstream: address(route.dwUpStreamNbr),
            protocol: route.dwRouteProtocol,
            network: address(route.dwRouteNetwork),
            prefix_len,
        })
    }
}

impl HostFn<CTransmitFn> {
    /// Calls the function for each of these interfaces, as long as the run goes on.
    pub(super) fn transmit(&self, to: &[IfKey], packet: &[u8]) {
        let size = DWORD::try_from(packet.len()).unwrap_or(DWORD::MAX);
        let call = || {
            for to in to.iter().take_while(|_| !self.calls.is_closed()) {
                let next_hop = dword(to.next_hop);
                // SAFETY: see `HostFn`; `packet` is `size` octets, an IP packet being below 64 KiB.
                unsafe { (self.function)(self.context, to.index, next_hop, packet.as_ptr(), size) };
            }
        };
        self.calls.call(|| must_return(call));
    }
}

impl HostFn<CLogFn> {
    /// After the end of the run, errors go to standard error.
    pub(super) fn log(&self, level: Level, line: &Line) {
        let text = line.as_bytes_with_nul().as_ptr().cast();
        // SAFETY: see `HostFn`; the text ends with a NUL and lives for the call.
        let call = || unsafe { (self.function)(self.context, level as DWORD, text) };
        if self.calls.call(|| must_return(call)).is_none() && level == Level::Error {
            to_stderr(level, format_args!("{}", line.as_str()));
        }
    }
}

impl HostFn<CClockFn> {
    /// 0 after the end of the run, when nothing is timed any more.
    pub(super) fn now(&self) -> Millis {
        // SAFETY: see `HostFn`.
        let call = || unsafe { (self.function)(self.context) };
        Millis(self.calls.call(|| must_return(call)).unwrap_or(0))
    }
}

/// A host's table of functions, with the route look-up already chosen.
pub(super) struct CPlane {
    table: _MGM_HOST_FORWARDER,
    route: Option<HostFn<CRouteFn>>,
    /// Counts the threads inside any of these.
    calls: Arc<HostCalls>,
}

// SAFETY: the table's context is only handed back to the host, see `HostFn`.
unsafe impl Send for CPlane {}
// SAFETY: as above.
unsafe impl Sync for CPlane {}

impl CPlane {
    /// The plane of this table; its null pfnRoute stands for the configuration's.
    pub(super) fn new(table: _MGM_HOST_FORWARDER, config: &_MGM_HOST_CONFIG) -> Self {
        let calls = Arc::new(HostCalls::new());
        Self {
            route: HostFn::new(table.pfnRoute, table.pvContext, &calls)
                .or_else(|| HostFn::new(config.pfnRoute, config.pvContext, &calls)),
            calls,
            table,
        }
    }

    /// Calls a function of the table's, inside which a program may only read. None: the run is over.
    fn call<R>(&self, function: impl FnOnce() -> R) -> Option<R> {
        let _in_plane = InPlane::enter();
        self.calls.call(|| must_return(function))
    }
}

impl HostPlane for CPlane {
    fn add_interface(&self, interface: IfKey) -> u32 {
        let Some(function) = self.table.pfnAddInterface else { return code::NO_ERROR };
        // SAFETY: see `HostFn`.
        let call = || unsafe {
            function(self.table.pvContext, interface.index, dword(interface.next_hop))
        };
        self.call(call).unwrap_or(code::ERROR_CAN_NOT_COMPLETE)
    }

    fn remove_interface(&self, interface: IfKey) {
        let Some(function) = self.table.pfnRemoveInterface else { return };
        // SAFETY: see `HostFn`.
        let call = || unsafe {
            function(self.table.pvContext, interface.index, dword(interface.next_hop));
        };
        self.call(call);
    }

    fn set_mfe(&self, flow: SourceGroup, state: EntryState<'_>) -> u32 {
        let Some(function) = self.table.pfnSetMfe else {
            return code::ERROR_CAN_NOT_COMPLETE;
        };
        let mut oifs = SmallVec::<[_MIB_IPMCAST_OIF; 16]>::new();
        if oifs.try_reserve(state.oifs.len()).is_err() {
            return code::ERROR_NOT_ENOUGH_MEMORY;
        }
        oifs.extend(state.oifs.iter().map(|oif| _MIB_IPMCAST_OIF {
            dwOutIfIndex: oif.index,
            dwNextHopAddr: dword(oif.next_hop),
            ..Default::default()
        }));
        let (source, group) = (dword(flow.source()), dword(flow.group()));
        let (index, next_hop) = (state.iif.index, dword(state.iif.next_hop));
        let count = oifs.len() as DWORD;
        // SAFETY: see `HostFn`; the array is `count` long and lives for the call.
        let call = || unsafe {
            function(self.table.pvContext, source, group, index, next_hop, count, oifs.as_ptr())
        };
        self.call(call).unwrap_or(code::ERROR_CAN_NOT_COMPLETE)
    }

    fn delete_mfe(&self, flow: SourceGroup) -> u32 {
        let Some(function) = self.table.pfnDeleteMfe else {
            return code::ERROR_CAN_NOT_COMPLETE;
        };
        // SAFETY: see `HostFn`.
        let call =
            || unsafe { function(self.table.pvContext, dword(flow.source()), dword(flow.group())) };
        self.call(call).unwrap_or(code::ERROR_NOT_FOUND)
    }

    fn counters(&self, flow: SourceGroup) -> Result<Counters, u32> {
        let Some(function) = self.table.pfnGetMfeCounters else {
            return Ok(Counters::default());
        };
        let mut counters = _MGM_MFE_COUNTERS::default();
        let (source, group) = (dword(flow.source()), dword(flow.group()));
        // SAFETY: see `HostFn`; the counters are ours, writable for the call.
        let call = || unsafe { function(self.table.pvContext, source, group, &raw mut counters) };
        match self.call(call).unwrap_or(code::ERROR_NOT_FOUND) {
            code::NO_ERROR => Ok(Counters {
                packets: counters.ulInPkts,
                octets: counters.ulInOctets,
                wrong_interface: counters.ulPktsDifferentIf,
                waited: None,
            }),
            code => Err(code),
        }
    }

    fn route(&self, source: Ipv4Addr, arrival: Option<IfKey>) -> Result<Route, u32> {
        match &self.route {
            Some(route) => {
                let _in_plane = InPlane::enter();
                route.route(source)
            }
            None => arrival
                .map(|interface| arrival_route(source, interface))
                .ok_or(code::ERROR_NOT_FOUND),
        }
    }

    fn stop(&self) -> bool {
        // pfnStop is the last: all other functions have returned, and none will be called again.
        let all_are_out = self.calls.close(PATIENCE);
        if let Some(function) = self.table.pfnStop {
            let _in_plane = InPlane::enter();
            // SAFETY: see `HostFn`; MgmHostStop, which waits for it, has not returned.
            must_return(|| unsafe { function(self.table.pvContext) });
        }
        all_are_out
    }
}

/// The route where the host has no route look-up: the source is a neighbour on the interface that
/// its packet came in on.
fn arrival_route(source: Ipv4Addr, interface: IfKey) -> Route {
    const LOCAL: u32 = 2; // MIB_IPPROTO_LOCAL
    Route { interface, upstream: source, protocol: LOCAL, network: source, prefix_len: 32 }
}
