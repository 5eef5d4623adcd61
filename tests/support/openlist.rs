//! A WebDAV server that misbehaves as OpenList's source does: the proxy with
//! its manners, in front of any WebDAV server.

use super::proxy::{Headers, Manners, Proxy, Seen};
use std::sync::atomic::{AtomicU32, Ordering};

/// How OpenList answers.
#[derive(Default)]
struct OpenListManners {
    bad_logins: AtomicU32,
}

/// After so many wrong logins everything is refused for a while.
const BAD_LOGINS_MAX: u32 = 5;

impl Manners for OpenListManners {
    /// COPY ignores the new leaf name: the copy keeps the name of its source.
    fn request(&self, seen: &Seen, headers: &mut Headers) {
        if seen.method != "COPY" {
            return;
        }
        let leaf = seen.path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        let target =
            headers.get("Destination").and_then(|target| target.trim_end_matches('/').rsplit_once('/'));
        if let Some((parent, _)) = target {
            let target = format!("{parent}/{leaf}");
            headers.set("Destination", target);
        }
    }

    fn instead(&self, _seen: &Seen) -> Option<u16> {
        (self.bad_logins.load(Ordering::Relaxed) >= BAD_LOGINS_MAX).then_some(429)
    }

    /// Any trouble with a listing is "not there", any trouble with an upload or
    /// a new folder is "not allowed".
    fn reply(&self, seen: &Seen, status: u16) -> u16 {
        match (seen.method.as_str(), status) {
            (_, 401) => {
                self.bad_logins.fetch_add(1, Ordering::Relaxed);
                401
            }
            ("PROPFIND", 400..) => 404,
            ("PUT", 404) => 404,
            ("PUT", 400..) => 405,
            ("MKCOL", 409) => 409,
            ("MKCOL", 400..) => 405,
            _ => status,
        }
    }
}

/// From now on what stands behind `proxy` answers like OpenList. Faults are added
/// by [`Proxy::fail`], with the statuses that OpenList would give: [`as_told`].
pub fn behave(proxy: &Proxy) {
    proxy.set_manners(OpenListManners::default());
}

/// The status by which OpenList tells of any trouble with a request of this method.
pub fn as_told(method: &str) -> u16 {
    if method == "PROPFIND" { 404 } else { 405 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::scratch;
    use crate::support::servers::{Protocol, Rclone, RcloneConfiguration, Server};

    #[test]
    fn a_copy_under_a_new_name_lands_under_the_old_one() {
        let scratch = scratch();
        let server = Server::start(Protocol::Webdav, Rclone::Current, &scratch.path().join("served"));
        std::fs::write(server.folder.join("leaf"), "content").unwrap();
        let proxy = Proxy::start(server.port);
        behave(&proxy);
        let configuration = RcloneConfiguration::new(scratch.path());
        configuration.add("remote", &server.remote_settings(proxy.port));
        let copied = Rclone::Current
            .command(&configuration.path)
            .args(["copyto", "--retries=1", "remote:leaf", "remote:folder/other"])
            .output()
            .unwrap();
        assert!(!copied.status.success(), "rclone should miss the name it asked for");
        assert!(server.folder.join("folder/leaf").exists(), "the copy should keep the name of its source");
    }
}
