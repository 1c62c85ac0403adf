//! The sizes of C's records.

use super::types::{
    _MIB_IPMCAST_MFE, _MIB_IPMCAST_MFE_STATS, _MIB_IPMCAST_MFE_STATS_EX, _SOURCE_GROUP_ENTRY,
};
use crate::remote::wire::RecordSizes;
use std::mem::offset_of;

/// How many octets of a record come before its outgoing interfaces.
pub(super) const PLAIN_HEAD: usize = offset_of!(_MIB_IPMCAST_MFE, rgmioOutInfo);
/// The same for MIB_IPMCAST_MFE_STATS.
pub(super) const STATS_HEAD: usize = offset_of!(_MIB_IPMCAST_MFE_STATS, rgmiosOutStats);
/// The same for MIB_IPMCAST_MFE_STATS_EX.
pub(super) const STATS_EX_HEAD: usize = offset_of!(_MIB_IPMCAST_MFE_STATS_EX, rgmiosOutStats);

/// The sizes of the records, which another process's library must have as well (rule P7).
pub(super) const SIZES: RecordSizes = RecordSizes {
    mfe: PLAIN_HEAD as u16,
    mfe_stats: STATS_HEAD as u16,
    mfe_stats_ex: STATS_EX_HEAD as u16,
    source_group: size_of::<_SOURCE_GROUP_ENTRY>() as u16,
};
