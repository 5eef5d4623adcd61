//! A WebDAV server that misbehaves as OpenList's source does: the proxy with
//! its manners, in front of any WebDAV server.

use super::proxy::{Headers, Manners, Proxy, Seen};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

/// How OpenList answers.
#[derive(Default)]
struct OpenListManners {
    bad_logins: AtomicU32,
    listings: Mutex<Listings>,
}

/// The listings that it keeps: after a PUT the size is what the client said, until that
/// is forgotten, or the client itself moves or deletes the file.
#[derive(Default)]
struct Listings {
    requests: u64,
    under_way: BTreeMap<String, u64>,
    /// The size, and the request with which it is forgotten.
    kept: BTreeMap<String, (u64, u64)>,
}

/// So many requests later a listing is asked for anew.
const LISTING_KEPT_REQUESTS: u64 = 40;

/// After so many wrong logins everything is refused for a while.
const BAD_LOGINS_MAX: u32 = 5;

impl Manners for OpenListManners {
    /// COPY ignores the new leaf name: the copy keeps the name of its source.
    fn request(&self, seen: &Seen, headers: &mut Headers) {
        let mut listings = self.listings.lock().unwrap();
        listings.requests += 1;
        let length = headers.get("Content-Length").and_then(|length| length.parse().ok());
        match (seen.method.as_str(), length) {
            ("PUT", Some(length)) => {
                listings.under_way.insert(seen.path.clone(), length);
            }
            ("MOVE" | "DELETE", _) => listings.kept.retain(|path, _| !path.starts_with(&seen.path)),
            _ => {}
        }
        drop(listings);
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

    fn tells(&self, seen: &Seen) -> Option<(u16, String)> {
        let listings = self.listings.lock().unwrap();
        let &(size, until) = listings.kept.get(&seen.path).filter(|_| seen.method == "PROPFIND")?;
        let xml = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><D:multistatus xmlns:D=\"DAV:\"><D:response>\
             <D:href>{}</D:href><D:propstat><D:prop><D:resourcetype/><D:getcontentlength>{size}</D:getcontentlength>\
             <D:getlastmodified>Wed, 25 Nov 2026 10:00:00 GMT</D:getlastmodified></D:prop>\
             <D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response></D:multistatus>",
            seen.path.replace('&', "&amp;")
        );
        (listings.requests < until).then_some((207, xml))
    }

    /// Any trouble with a listing is "not there", any trouble with an upload or
    /// a new folder is "not allowed".
    fn reply(&self, seen: &Seen, status: u16) -> u16 {
        if seen.method == "PUT" {
            let mut listings = self.listings.lock().unwrap();
            let until = listings.requests + LISTING_KEPT_REQUESTS;
            let claimed = listings.under_way.remove(&seen.path).filter(|_| status < 300);
            if let Some(size) = claimed {
                listings.kept.insert(seen.path.clone(), (size, until));
            }
        }
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

    /// One behind which something else may happen to a file than the client said.
    #[test]
    fn after_an_upload_the_size_is_what_the_client_said() {
        let scratch = scratch();
        let server = Server::start(Protocol::Webdav, Rclone::Current, &scratch.path().join("served"));
        let proxy = Proxy::start(server.port);
        behave(&proxy);
        let configuration = RcloneConfiguration::new(scratch.path());
        configuration.add("remote", &server.remote_settings(proxy.port));
        std::fs::write(scratch.path().join("file"), "content").unwrap();
        let rclone = |arguments: &[&str]| {
            let output = Rclone::Current.command(&configuration.path).args(arguments).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap()
        };
        rclone(&["copyto", scratch.path().join("file").to_str().unwrap(), "remote:file"]);
        std::fs::remove_file(server.folder.join("file")).unwrap();
        let size = |text: String| serde_json::from_str::<serde_json::Value>(&text).unwrap()["Size"].clone();
        assert_eq!(size(rclone(&["lsjson", "--stat", "remote:file"])), 7);
    }

    #[test]
    fn after_five_wrong_logins_everything_is_refused_for_a_while() {
        let manners = OpenListManners::default();
        let seen = Seen { number: 1, method: "PROPFIND".into(), path: "/x".into() };
        for _ in 0..BAD_LOGINS_MAX {
            assert_eq!(manners.instead(&seen), None);
            assert_eq!(manners.reply(&seen, 401), 401);
        }
        assert_eq!(manners.instead(&seen), Some(429));
    }

    #[test]
    fn trouble_is_told_as_not_there_or_not_allowed() {
        let manners = OpenListManners::default();
        for (method, status, told) in [
            ("PROPFIND", 500, 404),
            ("PROPFIND", 207, 207),
            ("PUT", 507, 405),
            ("PUT", 404, 404),
            ("PUT", 201, 201),
            ("MKCOL", 409, 409),
            ("MKCOL", 500, 405),
        ] {
            let seen = Seen { number: 1, method: method.into(), path: "/x".into() };
            assert_eq!(manners.reply(&seen, status), told, "{method} {status}");
        }
    }
}
