//! Which group manager the functions of mgm.h ask: the one of this process, or the host that
//! MGM_HOST names.

use super::MGM;
use super::callbacks::AnyClient;
use super::sizes::SIZES;
use crate::error::Error;
use crate::log::Level;
use crate::remote;
use crate::remote::server::{ServeSettings, Server};
use crate::shell::group_manager::GroupManager;
use crate::shell::manager::Mgm;
use crate::shell::service::Service;
use crate::shell::settings::Settings;
use std::fmt::Arguments;
use std::sync::OnceLock;

/// The host in another process, where MGM_HOST names one.
static HOST: remote::client::RemoteManager<AnyClient> =
    remote::client::RemoteManager::new(log, SIZES);

fn log(level: Level, message: Arguments<'_>) {
    MGM.log(level, message);
}

/// What MGM_HOST said when it was asked first: a process is a client of a host, or is not, for ever.
static IS_CLIENT: OnceLock<Result<bool, Error>> = OnceLock::new();

fn is_client() -> Result<bool, Error> {
    let decided = IS_CLIENT.get_or_init(|| match Settings::host_from_env() {
        Ok(None) => Ok(false),
        Ok(Some((path, level))) => {
            MGM.set_level(level);
            HOST.set_path(path);
            Ok(true)
        }
        Err(error) => Err(error),
    });
    match decided {
        Ok(is_client) => Ok(*is_client),
        Err(error) => Err(error.clone()),
    }
}

/// The group manager that this process uses.
pub(super) fn manager() -> Result<&'static dyn GroupManager<AnyClient>, Error> {
    if is_client()? { Ok(&HOST) } else { Ok(&MGM) }
}

/// The group manager of this process, for the calls of its host.
pub(super) fn hosting() -> Result<&'static Mgm<AnyClient>, Error> {
    if is_client()? { Err(Error::ClientOfHost) } else { Ok(&MGM) }
}

/// Whether this process has a connection to a host.
pub(super) fn is_connected() -> bool {
    HOST.is_connected()
}

/// Serves clients in other processes.
pub(super) fn serve(
    mgm: &'static Mgm<AnyClient>,
    settings: &ServeSettings,
) -> Result<Box<dyn Service>, Error> {
    Ok(Box::new(Server::start(mgm, settings, SIZES)?))
}
