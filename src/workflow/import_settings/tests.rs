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
    let proxy = Secret::Value("socks5h://127.0.0.1:1080".into());
    assert_eq!(read.notify.channels.proxy, Some(proxy));
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

/// The settings of the script that the issue names, and what is said of each.
#[test]
fn no_constant_is_dropped_without_a_word_whatever_the_script_chose() {
    let spoken_of = |name: &str, imported: &ImportedSettings| {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        imported.text.split(|c| !is_word(c)).any(|word| word == name)
    };
    let names: Vec<&str> = SCRIPT
        .lines()
        .filter_map(|line| line.split_once(" = ").map(|(name, _)| name))
        .filter(|name| name.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
        .collect();
    assert!(names.len() > 20, "{names:?}");
    for (from, to) in [
        ("", ""),
        ("NOTIFY_MODE = \"both\"", "NOTIFY_MODE = \"telegram\""),
        ("NOTIFY_MODE = \"both\"", "NOTIFY_MODE = 'mail'"),
        ("NOTIFY_MODE = \"both\"", "NOTIFY_MODE = None"),
        ("ENABLE_NOTIFY = True", "ENABLE_NOTIFY = False"),
        ("TG_CHAT_ID = -100123", "TG_CHAT_ID = ['1', '2']"),
        ("TG_BOT_TOKEN = \"123:secret\"", "TG_BOT_TOKEN = os.environ['T']"),
        ("MAIL_TO = \"a@example.org, b@example.org\"", "MAIL_TO = ''"),
        ("MAIL_TO = \"a@example.org, b@example.org\"", "MAIL_TO = load()"),
        ("ENABLE_FULL_CHECK = True", "ENABLE_FULL_CHECK = False"),
        ("FULL_CHECK_DAYS = 7", "FULL_CHECK_DAYS = weekly()"),
        ("REMOTE_TRASH = \"/115/backup/.trash\"", "REMOTE_TRASH = None"),
        ("OPERATION_INTERVAL_SECONDS = 1.5", "OPERATION_INTERVAL_SECONDS = 0"),
        ("EXCLUDES = [", "EXCLUDES = [] ; UNUSED = ["),
        ("PROXY_URL = \"socks5h://127.0.0.1:1080\"", "PROXY_URL = \"\""),
    ] {
        let script = SCRIPT.replace(from, to);
        let imported = import(&script).0;
        for name in &names {
            assert!(spoken_of(name, &imported), "{to}: {name} is not spoken of:\n{}", imported.text);
        }
        let left = imported.left_behind.join(" ");
        assert!(!left.contains("123:secret") && !left.contains("nothing came of it"), "{to}: {left}");
    }
}

#[test]
fn whole_numbers_are_read_as_python_writes_them() {
    for number in ["0x1e", "0o36", "0b11110", "3_0", "30.0", "3e1", "'30'"] {
        let read = import(&format!("SYNC_PAIRS = ['/a:r:b']\nTRASH_RETENTION_DAYS = {number}\n")).1;
        assert_eq!(read.jobs[0].trash_retention_days, 30, "{number}");
    }
    let pairs = import("SYNC_PAIRS = [f'/a|r:b', F\"/c|r:d\"]\n").1.jobs;
    assert_eq!(pairs.len(), 2, "an f-string without a placeholder is text");
}

#[test]
fn what_becomes_of_deleted_files_follows_the_script() {
    let of = |more: &str| import(&format!("SYNC_PAIRS = ['/a:r:b']\n{more}\n")).1.jobs[0].on_delete;
    assert_eq!(of("PROTECT_MODE = True\nREMOTE_TRASH = 'x'"), OnDelete::Keep);
    assert_eq!(of("PROTECT_MODE = False\nREMOTE_TRASH = 'x'"), OnDelete::Trash);
    assert_eq!(of("REMOTE_TRASH = ''"), OnDelete::Delete);
}

#[test]
fn what_another_file_or_a_condition_may_say_of_deletion_is_not_believed() {
    let pairs = "SYNC_PAIRS = ['/a:r:b']\n";
    let (imported, read) = import(&format!("from local_settings import *\n{pairs}"));
    assert_eq!(read.jobs[0].on_delete, OnDelete::Keep);
    let left = imported.left_behind.join("\n");
    for name in ["PROTECT_MODE", "REMOTE_TRASH"] {
        let word =
            format!("{name} (line 1): it is not certain: it may be set by `from local_settings import *`");
        assert!(left.contains(&word), "{left}");
    }
    let below = format!("from local_settings import *\n{pairs}PROTECT_MODE = False\nREMOTE_TRASH = 'x'\n");
    assert_eq!(import(&below).1.jobs[0].on_delete, OnDelete::Trash);
    let behind =
        format!("{pairs}PROTECT_MODE = True\nif len(sys.argv) > 1: DEBUG = 1; PROTECT_MODE = False\n");
    assert_eq!(import(&behind).1.jobs[0].on_delete, OnDelete::Keep);
    let behind = format!("{pairs}if len(sys.argv) > 1: DEBUG = 1; REMOTE_TRASH = 'trash'\n");
    let (imported, read) = import(&behind);
    assert_eq!((read.jobs[0].on_delete, read.jobs[0].legacy_trash.clone()), (OnDelete::Trash, None));
    assert!(imported.left_behind.join("\n").contains("REMOTE_TRASH (line 2): it is set inside a block"));
}

#[test]
fn what_cannot_be_read_about_deletion_goes_the_way_that_deletes_nothing() {
    let of = |more: &str| {
        let (imported, read) = import(&format!("SYNC_PAIRS = ['/a:r:b']\n{more}\n"));
        let is_told = imported.text.contains("could not be read, so the safe one");
        (read.jobs[0].on_delete, read.jobs[0].trash_retention_days, is_told)
    };
    for written in ["bool(1)", "'yes'", "2", "True if X else False"] {
        assert_eq!(of(&format!("PROTECT_MODE = {written}")), (OnDelete::Keep, 30, true), "{written}");
    }
    for changed in ["if X:\n    PROTECT_MODE = True", "if X: PROTECT_MODE = True", "PROTECT_MODE |= X"] {
        let lines = format!("PROTECT_MODE = False\n{changed}");
        assert_eq!(of(&lines), (OnDelete::Keep, 30, true), "{changed}");
    }
    for written in ["f'{BASE}/trash'", "BASE + '/trash'", "['x']"] {
        let lines = format!("PROTECT_MODE = False\nREMOTE_TRASH = {written}");
        assert_eq!(of(&lines), (OnDelete::Trash, 30, true), "{written}");
    }
    for written in ["365*10", "-1", "int('7')", "30.5", "None"] {
        let lines = format!("REMOTE_TRASH = 'x'\nTRASH_RETENTION_DAYS = {written}");
        assert_eq!(of(&lines), (OnDelete::Trash, 0, true), "{written}");
    }
    assert_eq!(of("PROTECT_MODE = 0\nREMOTE_TRASH = None"), (OnDelete::Delete, 30, false));
}

#[test]
fn a_constant_about_deletion_that_is_set_in_an_unusual_way_is_not_taken_for_off() {
    for way in [
        "globals().update(PROTECT_MODE=True)",
        "globals()['PROTECT_MODE'] = True",
        "X = [PROTECT_MODE := True]",
        "for PROTECT_MODE in (True,): pass",
        "exec('PROTECT_MODE = True')",
        "exec(open('local_settings.py').read())",
        "setattr(sys.modules[__name__], 'PROTECT_MODE', True)",
    ] {
        for before in ["", "PROTECT_MODE = False\n"] {
            let (imported, read) =
                import(&format!("SYNC_PAIRS = ['/a:r:b']\n{before}{way}\nSYNC_PAIRS = ['/a:r:b']\n"));
            assert_eq!(read.jobs[0].on_delete, OnDelete::Keep, "{before}{way}");
            assert!(
                imported.text.contains("PROTECT_MODE could not be read"),
                "{before}{way}:\n{}",
                imported.text
            );
            let left = imported.left_behind.join("\n");
            assert!(left.contains("PROTECT_MODE (line"), "{before}{way}: {left}");
        }
    }
}

#[test]
fn a_pair_keeps_its_number_behind_one_that_could_not_be_read() {
    let (imported, _) = import(
        "REMOTE_NAME = 'r'\nSYNC_PAIRS = [('/d/' + x, 'b/p'), ('/d/two', 'b/two'), ('d/three', 'b/c')]\n",
    );
    assert!(imported.text.contains("# SYNC_PAIRS, pair 2\nname = \"two\""), "{}", imported.text);
    let left = imported.left_behind.join("\n");
    assert!(left.contains("pair 1 is computed") && left.contains("pair 3: `source` must"), "{left}");
}

#[test]
fn a_pattern_with_a_character_that_no_line_holds_says_which() {
    for (written, reason) in [("a\\0b", "it holds a NUL"), ("a\\nb", "it holds a line break")] {
        let imported = import(&format!("SYNC_PAIRS = ['/a:r:b']\nEXCLUDES = ['{written}']\n")).0;
        assert!(imported.left_behind.join(" ").contains(reason), "{:?}", imported.left_behind);
    }
}

#[test]
fn an_option_that_would_have_to_be_computed_is_found_by_the_one_before_it() {
    let left = |written: &str| {
        let imported = import(&format!("SYNC_PAIRS = ['/a:r:b']\nRCLONE_OPTS = {written}\n")).0;
        imported.left_behind.join("\n")
    };
    let told = left("['--tpslimit=1', f'--bwlimit={BW}']");
    assert!(told.contains("item 2 (behind \"--tpslimit\") is an f-string"), "{told}");
    let told = left("[x(), '--transfers', str(N)]");
    assert!(told.contains("item 1 is computed (`x`)"), "{told}");
    assert!(told.contains("item 3 (behind \"--transfers\") is computed (`str`)"), "{told}");
    let told = left(
        "['--webdav-bearer-token=s3cret', x(), '--webdav-pass s3cret', y(), '--webdav-pass', 's3cret', z()]",
    );
    assert!(!told.contains("s3cret"), "{told}");
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
}

#[test]
fn the_mail_program_of_the_script_is_the_one_that_is_used() {
    for (written, program, left) in [
        ("'nullmailer-inject'", "nullmailer-inject", ""),
        ("'/usr/bin/nullmailer-inject'", "/usr/bin/nullmailer-inject", ""),
        ("'msmtp'", "msmtp", ""),
        ("'/usr/bin/mail'", "/usr/bin/mail", ""),
        ("'sendmail'", "/usr/sbin/sendmail", ""),
        ("'/usr/sbin/sendmail -t -i'", "/usr/sbin/sendmail", ""),
        ("['/usr/bin/msmtp', '-a', 'gmail']", "/usr/bin/msmtp", "its arguments \"-a gmail\""),
        ("'/opt/notify'", "/usr/sbin/sendmail", "no program that is known to take a mail"),
        ("''", "/usr/sbin/sendmail", ""),
    ] {
        let (imported, read) =
            import(&format!("SYNC_PAIRS=['/a:r:b']\nMAIL_TO='root, a@b'\nMAIL_BIN={written}\n"));
        let mail = read.notify.channels.mail.unwrap();
        assert_eq!(mail.by, MailBy::Sendmail(program.into()), "{written}");
        assert_eq!(mail.to, ["root@localhost", "a@b"]);
        let told = imported.left_behind.join("\n");
        assert!(told.contains(left) && told.is_empty() == left.is_empty(), "{written}: {told}");
    }
}

#[test]
fn an_option_in_a_list_keeps_its_blanks() {
    let of = |written: &str| {
        let (imported, read) = import(&format!("SYNC_PAIRS=['/a:r:b']\nRCLONE_OPTS={written}\n"));
        (read.rclone.flags, imported.left_behind)
    };
    let (flags, left) = of("['--user-agent', 'Mozilla/5.0 (X11; Linux)', '--bwlimit', \
         '08:00,512k 12:00,10M 23:00,off', '--timeout 5m', '', '--header=A: b']");
    let wanted = [
        "--user-agent=Mozilla/5.0 (X11; Linux)",
        "--bwlimit=08:00,512k 12:00,10M 23:00,off",
        "--timeout=5m",
        "--header=A: b",
    ];
    assert_eq!((flags, left), (wanted.map(str::to_owned).to_vec(), vec![]));
    let (flags, left) = of("'--bwlimit \"08:00,512k 12:00,10M\" --transfers 2 3'");
    assert_eq!(flags, ["--bwlimit=08:00,512k 12:00,10M", "--transfers=2"]);
    assert!(left[0].contains("`3`: it is neither a flag"), "{left:?}");
}

#[test]
fn what_is_known_of_a_list_is_carried_over_and_the_rest_named() {
    let (imported, read) = import(
        "BASE = '/data'\nREMOTE_NAME = 'r'\nSYNC_PAIRS = [\n ('/a', 'x/a'),  # 照片\n (BASE + '/b', 'x/b'),\n \
         (Path('/c'), 'x/c', 'more'),\n {'local': '/d', 'remote': 'x/d', 'exclude': ['*.iso']},\n]\nSYNC_PAIRS += [('/e', 'x/e')]\n\
         SYNC_PAIRS.append(('/f', f'{BASE}/f'))\nEXCLUDES = ['*.tmp', '*' + EXT, *MORE]\n\
         RCLONE_OPTS = ['--transfers', str(N), '--bwlimit', '1M', '--tpslimit', 2]\n",
    );
    let sources: Vec<&str> = read.jobs.iter().map(|job| job.source.to_str().unwrap()).collect();
    assert_eq!(sources, ["/a", "/c", "/d", "/e"]);
    assert_eq!(read.jobs[0].exclude, ["*.tmp"]);
    assert_eq!(read.rclone.flags, ["--bwlimit=1M", "--tpslimit=2"]);
    let left = imported.left_behind.join("\n");
    for part in [
        "SYNC_PAIRS (line 3): pair 2 is computed (`BASE`)",
        "pair 3 holds more than two folders: \"more\" is left out",
        "pair 4 holds more than two folders: `exclude` is left out",
        "pair 6 is an f-string",
        "EXCLUDES (line 11): one of its items is computed (`+`)",
        "item 2 (behind \"--transfers\") is computed (`str`)",
    ] {
        assert!(left.contains(part), "{part} is not in\n{left}");
    }
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
