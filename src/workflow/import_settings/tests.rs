#![allow(clippy::unwrap_used)]

use super::super::configuration::{CheckAction, MailBy, OnDelete, Secret};
use super::*;
use std::time::Duration;

fn defaults() -> Defaults {
    Defaults {
        state_home: Some("/home/me/.local/state".into()),
        check_rclone_flags: crate::workflow::check_rclone_flags,
    }
}

fn import(script: &str) -> (ImportedSettings, Configuration) {
    let imported = import_settings(script, "backup.py", &defaults()).unwrap();
    let configuration = Configuration::parse(&imported.text, Path::new("c.toml"), &defaults()).unwrap();
    (imported, configuration)
}

/// As its users have it: comments in Chinese, adjacent strings, secrets.
const SCRIPT: &str = r##"#!/usr/bin/env python3
# -*- coding: utf-8 -*-
"""
备份脚本
SYNC_PAIRS = ["not", "this"]
"""
import os, sys

# ================= 配置 =================
SYNC_PAIRS = [
    "/volume2/photos:/115/backup/photos",   # 照片
    ("/volume2/文档", "115/backup/文档/"),
    {"local": "/volume1/photos/", "remote": "/115/backup/photos1"},
]
EXCLUDES = [
    "*.tmp", 'tmp/', "node_modules/**",
    "@eaDir/", "#recycle/", "docs/*.pdf",
]
REMOTE_NAME = "alist"
LOG_DIR = "/volume1/logs/" \
    "backup"
CACHE_DIR = "/volume1/cache"
LOCK_FILE = os.path.join(CACHE_DIR, "backup.lock")
RCLONE_BIN = "/usr/local/bin/rclone"
OPERATION_INTERVAL_SECONDS = 1.5
PROTECT_MODE = False
REMOTE_TRASH = "/115/backup/.trash"
TRASH_RETENTION_DAYS = 14
ENABLE_FULL_CHECK = True
FULL_CHECK_DAYS = 7
FULL_CHECK_ACTION = "repair"
LOG_RETENTION_DAYS = 15
ENABLE_NOTIFY = True
NOTIFY_MODE = "both"
MAIL_TO = "a@example.org, b@example.org"
MAIL_SUBJECT = "备份报告"
MAIL_BIN = "/usr/bin/msmtp"
TG_BOT_TOKEN = "123:secret"
TG_CHAT_ID = -100123
PROXY_URL = "socks5h://127.0.0.1:1080"
RCLONE_OPTS = ["--transfers", "2", "--bwlimit=2M", "--update", "--timeout 5m", "--config", "/etc/rclone.conf"]

def main():
    LOG_DIR = "/elsewhere"
"##;

#[test]
fn every_constant_of_the_script_finds_its_place() {
    let (imported, read) = import(SCRIPT);
    let jobs: Vec<_> = read
        .jobs
        .iter()
        .map(|job| (job.name.as_str(), job.source.to_str().unwrap(), job.remote.to_string()))
        .collect();
    assert_eq!(
        jobs,
        [
            ("photos", "/volume2/photos", "alist:/115/backup/photos".into()),
            ("文档", "/volume2/文档", "alist:115/backup/文档".into()),
            ("photos-2", "/volume1/photos", "alist:/115/backup/photos1".into()),
        ]
    );
    let job = &read.jobs[0];
    assert_eq!(job.exclude[..3], ["*.tmp", "tmp/", "node_modules/"]);
    assert_eq!((job.on_delete, job.keep_versions, job.trash_retention_days), (OnDelete::Trash, true, 14));
    assert_eq!((job.check_every_days, job.check_action), (7, CheckAction::Repair));
    let trash = |at: usize| read.jobs[at].legacy_trash.as_ref().map(ToString::to_string);
    assert_eq!((trash(0).as_deref(), trash(1)), (Some("alist:/115/backup/.trash"), None));
    assert_eq!(job.pause, Duration::from_millis(1500));
    assert_eq!((read.log_dir.as_path(), read.log_retention_days), (Path::new("/volume1/logs/backup"), 15));
    assert_eq!(read.rclone.program, "/usr/local/bin/rclone");
    assert_eq!(read.rclone.config.as_deref(), Some(Path::new("/etc/rclone.conf")));
    assert_eq!(read.rclone.flags, ["--transfers=2", "--bwlimit=2M", "--timeout=5m"]);
    let telegram = read.notify.channels.telegram.unwrap();
    assert_eq!((telegram.bot_token, &*telegram.chat_id), (Secret::Value("123:secret".into()), "-100123"));
    let mail = read.notify.channels.mail.unwrap();
    assert_eq!((mail.by, &*mail.subject), (MailBy::Sendmail("/usr/bin/msmtp".into()), "备份报告"));
    assert_eq!(mail.to, ["a@example.org", "b@example.org"]);
    assert_eq!(read.notify.channels.proxy.as_deref(), Some("socks5h://127.0.0.1:1080"));
    assert_eq!(imported.snapshots.as_deref(), Some("/volume1/cache"));
    let left = imported.left_behind.join("\n");
    assert!(left.contains("--update"), "{left}");
    assert!(left.contains("LOCK_FILE"), "{left}");
    assert_eq!(imported.left_behind.len(), 2, "{left}");
    assert!(!left.contains("secret"));
    for name in ["CACHE_DIR", "REMOTE_TRASH", "PROTECT_MODE", "TG_CHAT_ID", "LOG_RETENTION_DAYS", "LOCK_FILE"]
    {
        assert!(imported.text.contains(name), "{name} is not spoken of:\n{}", imported.text);
    }
}

#[test]
fn what_becomes_of_deleted_files_follows_the_script() {
    let of = |more: &str| import(&format!("SYNC_PAIRS = ['/a:r:b']\n{more}\n")).1.jobs[0].on_delete;
    assert_eq!(of("PROTECT_MODE = True\nREMOTE_TRASH = 'x'"), OnDelete::Keep);
    assert_eq!(of("PROTECT_MODE = False\nREMOTE_TRASH = 'x'"), OnDelete::Trash);
    assert_eq!(of("REMOTE_TRASH = ''"), OnDelete::Delete);
}

#[test]
fn the_shapes_of_a_pair_are_all_understood() {
    for pairs in [
        "['/a/b:r:c/d']",
        "['/a/b -> r:c/d']",
        "[('/a/b', 'r:c/d')]",
        "('/a/b', 'r:c/d')",
        "[['/a/b', 'c/d', 'more']]",
        "{'/a/b': 'c/d'}",
        "[{'src': '/a/b', 'dst': 'c/d'}]",
        "['/a/b|c/d']",
    ] {
        let (_, read) = import(&format!("REMOTE_NAME = 'r:'\nSYNC_PAIRS = {pairs}\n"));
        let job = &read.jobs[0];
        assert_eq!((job.source.to_str().unwrap(), &*job.remote.to_string()), ("/a/b", "r:c/d"), "{pairs}");
    }
}

#[test]
fn a_pair_that_cannot_be_used_is_a_comment_and_named() {
    let (imported, read) =
        import("SYNC_PAIRS = ['/a:r:x', 'b:r:y', '/c:r:x/inside', 7]\nREMOTE_NAME = None\n");
    assert_eq!(read.jobs.len(), 1);
    let left = imported.left_behind.join("\n");
    assert!(left.contains("pair 2: `source` must be"), "{left}");
    assert!(left.contains("the mirror of \"c\" (r:x/inside) lies in"), "{left}");
    assert!(left.contains("pair 4 is no local folder"), "{left}");
    assert!(imported.text.contains("# source = \"/c\""), "{}", imported.text);
}

#[test]
fn an_old_trash_inside_a_mirror_is_left_alone() {
    let (imported, read) =
        import("SYNC_PAIRS=['/a:x/a', '/b:x/b']\nREMOTE_NAME='r'\nREMOTE_TRASH='x/b/.trash'\n");
    assert_eq!(read.jobs.len(), 2);
    // Beside the first mirror alone it would be fine.
    assert!(read.jobs.iter().all(|job| job.legacy_trash.is_none()), "{}", imported.text);
    assert!(imported.left_behind[0].contains("cannot be purged safely"), "{:?}", imported.left_behind);
}

#[test]
fn without_a_pair_nothing_is_made() {
    for script in ["", "SYNC_PAIRS = load()\n", "SYNC_PAIRS = []\n", "print('x')\n"] {
        let error = import_settings(script, "x.py", &defaults()).unwrap_err();
        assert!(matches!(error, ImportSettingsError::NoJobs { .. }), "{script}: {error}");
    }
}

#[test]
fn notifications_that_were_off_stay_off() {
    let (_, read) = import("SYNC_PAIRS=['/a:r:b']\nENABLE_NOTIFY=False\nTG_BOT_TOKEN='x'\nTG_CHAT_ID='1'\n");
    assert!(read.notify.channels.telegram.is_none());
    let (imported, read) = import(
        "SYNC_PAIRS=['/a:r:b']\nENABLE_NOTIFY=True\nNOTIFY_MODE='telegram'\nTG_BOT_TOKEN='x'\nTG_CHAT_ID='1'\nMAIL_TO='a@b'\n",
    );
    assert!(read.notify.channels.telegram.is_some() && read.notify.channels.mail.is_none());
    assert_eq!(imported.left_behind, Vec::<String>::new());
    let (imported, read) = import("SYNC_PAIRS=['/a:r:b']\nMAIL_TO=['a@b']\nMAIL_BIN='/usr/bin/mail'\n");
    assert_eq!(read.notify.channels.mail.unwrap().by, MailBy::Sendmail("/usr/sbin/sendmail".into()));
    assert!(imported.left_behind[0].contains("/usr/bin/mail"), "{:?}", imported.left_behind);
}

proptest::proptest! {
    #[test]
    fn whatever_the_script_says_is_refused_or_reads_back(
        values in proptest::collection::vec("[-a-z'\"\\[\\]{}(),:/#|0-9 ]{0,20}", 22),
    ) {
        let names = [
            "EXCLUDES", "REMOTE_NAME", "LOG_DIR", "CACHE_DIR", "RCLONE_BIN", "OPERATION_INTERVAL_SECONDS",
            "PROTECT_MODE", "REMOTE_TRASH", "TRASH_RETENTION_DAYS", "ENABLE_FULL_CHECK", "FULL_CHECK_DAYS",
            "FULL_CHECK_ACTION", "LOG_RETENTION_DAYS", "ENABLE_NOTIFY", "NOTIFY_MODE", "MAIL_TO", "MAIL_SUBJECT",
            "MAIL_BIN", "TG_BOT_TOKEN", "TG_CHAT_ID", "PROXY_URL", "RCLONE_OPTS",
        ];
        let mut script = "SYNC_PAIRS = [('/a', 'r:b')]\n".to_owned();
        for (name, value) in names.iter().zip(&values) {
            script += &format!("{name} = {value}\n");
            // As text, too, so that every value arrives somewhere.
            if value.len() % 2 == 0 {
                script += &format!("{name} = r'''{} '''\n", value.replace('\'', ""));
            }
        }
        match import_settings(&script, "x.py", &defaults()) {
            Ok(imported) => proptest::prop_assert_eq!(imported.jobs.len(), 1),
            Err(ImportSettingsError::NoJobs { .. }) => {}
            Err(error) => proptest::prop_assert!(false, "{}\n{}", error, script),
        }
    }
}
