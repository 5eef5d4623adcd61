#![allow(clippy::unwrap_used)]

use super::*;
use std::collections::BTreeSet;
use std::time::Duration;

const JOB: &str = "[[job]]\nname = \"a\"\nsource = \"/data/a\"\nremote = \"r:mirror/a\"\n";

fn defaults() -> Defaults {
    Defaults { state_home: Some("/home/me/.local/state".into()), check_rclone_flags: |_| Ok(()) }
}

fn parse(text: &str) -> Result<Configuration, ConfigurationError> {
    Configuration::parse(text, Path::new("c.toml"), &defaults())
}

#[track_caller]
fn refused(text: &str, expected: &str) {
    let message = parse(text).expect_err(text).to_string();
    assert!(message.contains(expected), "{text}\ngave:     {message}\nexpected: {expected}");
}

#[test]
fn the_smallest_configuration_has_all_defaults() {
    let configuration = parse(JOB).unwrap();
    let job = &configuration.jobs[0];
    assert_eq!(configuration.state_dir, Path::new("/home/me/.local/state/treeferry"));
    assert_eq!(configuration.log_dir, Path::new("/home/me/.local/state/treeferry/logs"));
    assert_eq!(configuration.state_dir_of(job), Path::new("/home/me/.local/state/treeferry/a"));
    assert_eq!(configuration.rclone.flags, ["--transfers=4"]);
    assert_eq!(job.companion.to_string(), "r:mirror/.treeferry/a");
    assert_eq!((job.max_delete, job.max_change), (Limit::Percent(25), Limit::Percent(50)));
    assert_eq!((job.on_delete, job.links, job.keep_versions), (OnDelete::Trash, Links::Record, true));
}

#[test]
fn every_default_in_the_reference_is_the_default() {
    let mut text = String::new();
    for section in ["", "scan", "rclone", "job"] {
        text += &match section {
            "" => String::new(),
            "job" => format!("\n{JOB}"),
            section => format!("\n[{section}]\n"),
        };
        for key in KEYS.iter().filter(|key| key.section == section && !key.default.is_empty()) {
            text += &format!("{} = {}\n", key.name, key.default);
        }
    }
    text += "[notify]\non = \"always\"\nproxy = \"\"\n";
    assert_eq!(parse(&text).unwrap(), parse(JOB).unwrap());
}

#[test]
fn every_key_of_the_table_is_read() {
    // Each key of the table with a value of no type at all: whoever reads it complains.
    for key in KEYS.iter().filter(|key| !key.section.contains('.')) {
        let line = format!("{} = 1979-05-27\n", key.name);
        let text = match key.section {
            "" => format!("{line}{JOB}"),
            "job" => format!("[defaults]\n{line}{JOB}"),
            section => format!("[{section}]\n{line}{JOB}"),
        };
        let without_own = text.replace(&format!("\n{} = \"", key.name), &format!("\n#{} = \"", key.name));
        let message = parse(&without_own).expect_err(key.name).to_string();
        assert!(message.contains(&format!("`{}`", key.name)), "{}: {message}", key.name);
    }
}

#[test]
fn a_job_overrides_defaults_and_scan_is_found_in_all_three_places() {
    let text = format!(
        "[scan]\nskip_settled = \"off\"\n[defaults]\nexclude = [\"*.tmp\"]\nmax_delete = 1000\npause = \"2s\"\n{JOB}exclude = []\nmax_delete = \"off\"\n[[job]]\nname = \"b\"\nsource = \"/data/a\"\nremote = \"r:mirror/b\"\nscan.skip_settled = \"auto\"\nhash_fill_per_run = \"1G\"\n"
    );
    let configuration = parse(&text).unwrap();
    let [a, b] = &configuration.jobs[..] else { panic!("two jobs") };
    assert_eq!((a.max_delete, b.max_delete), (Limit::Off, Limit::Count(1000)));
    assert!(a.exclude.is_empty());
    assert_eq!(b.exclude, ["*.tmp"]);
    assert_eq!((a.skip_settled, b.skip_settled), (SkipSettled::Off, SkipSettled::Auto));
    assert_eq!((a.pause, b.hash_fill_per_run), (Duration::from_secs(2), 1 << 30));
    assert_eq!(configuration.job("b").unwrap().name, "b");
}

#[test]
fn a_wrong_key_is_named_with_its_place_and_the_nearest_one() {
    refused(
        &format!("{JOB}on_delte = \"trash\"\n"),
        "c.toml:5:1: unknown key `on_delte` in [[job]]; did you mean `on_delete`?",
    );
    refused(
        &format!("jobs = 1\n{JOB}"),
        "c.toml:1:1: unknown key `jobs` at the top of the file; did you mean `job`?",
    );
    refused(
        &format!("[rclone]\nflag = []\n{JOB}"),
        "c.toml:2:1: unknown key `flag` in [rclone]; did you mean `flags`?",
    );
    refused(&format!("[rclone]\nexclude = []\n{JOB}"), "it belongs into [[job]] or [defaults]");
    refused(&format!("{JOB}log_dir = \"/l\"\n"), "it belongs to the top of the file");
    refused(&format!("{JOB}  中文 = 1\n"), "not TOML");
    refused(
        &format!("{JOB}  \"中文\" = 1\n"),
        "c.toml:5:3: unknown key `中文` in [[job]]; known are name, source",
    );
}

#[test]
fn all_problems_are_told_at_once_in_the_order_of_the_file() {
    let error = parse("language = \"fr\"\n[[job]]\nname = \"../x\"\nsource = \"data\"\nremote = \"/mnt\"\nlinks = \"copy\"\n").unwrap_err();
    let lines: Vec<usize> = error.problems.iter().map(|problem| problem.line).collect();
    assert_eq!(lines, [1, 3, 4, 5, 6]);
}

#[test]
fn values_of_the_wrong_kind_are_told_what_would_be_right() {
    for (line, expected) in [
        ("on_delete = \"move\"", "`on_delete` must be one of \"trash\", \"delete\", \"keep\", not \"move\""),
        ("keep_versions = \"yes\"", "`keep_versions` must be true or false (without quotes), not \"yes\""),
        (
            "trash_retention_days = \"30\"",
            "must be a whole number from 0 to 4294967295 (without quotes), not \"30\"",
        ),
        ("trash_retention_days = -1", "must be a whole number"),
        (
            "max_delete = \"125%\"",
            "`max_delete` must be a part like \"25%\", a number of files like 1000, or \"off\"",
        ),
        ("max_delete = -5", "`max_delete` must be"),
        ("pause = 2", "`pause` needs a unit: \"2s\", \"2m\" or \"2h\""),
        ("pause = \"soon\"", "must be a duration like"),
        ("hash_fill_per_run = \"10X\"", "must be a size like"),
        ("exclude = \"*.tmp\"", "`exclude` must be a list of text like [\"a\", \"b\"], not \"*.tmp\""),
        ("exclude = [1]", "must be a list of text"),
        ("scan.skip_settled = true", "`skip_settled` must be one of \"auto\", \"off\", not true"),
        ("scan = 1", "`scan` must be a table"),
    ] {
        refused(&format!("{JOB}{line}\n"), expected);
        refused(&format!("{JOB}{line}\n"), "c.toml:5:");
    }
    refused("state_dir = \"~/x\"\n[[job]]\n", "`~` is not expanded");
    refused("[[job]]\n", "c.toml:1:1: `name` is missing in [[job]]");
    refused("", "there is no [[job]]");
    refused("[job]\nname = \"a\"\n", "write jobs as [[job]], with two brackets");
    refused("x = ", "c.toml:1:5: not TOML");
    refused(&format!("[defaults]\nname = \"x\"\n{JOB}"), "`name` belongs to one [[job]]");
}

#[test]
fn names_and_places_that_could_do_harm_are_refused() {
    for name in ["", ".", "..", ".hidden", "a/b", "a b", "a\\tb"] {
        let text = JOB.replace("name = \"a\"", &format!("name = \"{name}\""));
        refused(&text, "`name` must be 1 to 100 letters");
    }
    for source in ["data", "./data", "~/data", "/data/../etc"] {
        refused(&JOB.replace("/data/a", source), "`source` must be");
    }
    refused(&JOB.replace("r:mirror/a", "mirror"), "`remote` must be \"name:path\"");
    refused(&JOB.replace("r:mirror/a", "r:"), "c.toml:4:10: `remote` is the root of a storage");
    refused(
        &format!("{JOB}companion = \"other:x\"\n"),
        "`companion` must be on the same remote as the mirror (\"r:…\")",
    );
    assert!(parse(&format!("{}companion = \"r:trash\"\n", JOB.replace("r:mirror/a", "r:mirror"))).is_ok());
    assert!(parse(&JOB.replace("\"a\"", "\"照片-2\"")).is_ok());
}

#[test]
fn places_that_contain_each_other_are_refused() {
    let second = |name: &str, remote: &str| {
        format!("{JOB}[[job]]\nname = \"{name}\"\nsource = \"/data/b\"\nremote = \"{remote}\"\n")
    };
    refused(&second("a", "r:mirror/b"), "two jobs have the name \"a\"");
    refused(&second("b", "r:mirror/a"), "is the same place as the mirror of \"a\"");
    refused(
        &second("b", "r:mirror"),
        "c.toml:8:10: the mirror of \"b\" (r:mirror) lies in, or around, the mirror of \"a\"",
    );
    refused(&second("b", "r:mirror/a/sub"), "lies in, or around,");
    refused(&second("b", "r:mirror/.treeferry/a/x"), "the companion of \"a\"");
    refused(&format!("{JOB}companion = \"r:mirror/a/.trash\"\n"), "c.toml:5:13: the companion of \"a\"");
    assert!(parse(&second("b", "r:mirror/b")).is_ok());
    assert!(parse(&second("b", "r:mirror/ab")).is_ok());
    for (remote, expected) in [
        (":local:/data/a/mirror", "must not contain each other"),
        (":local:/data", "must not contain each other"),
        (":local:/home/me/.local/state/treeferry/x", "and state_dir"),
    ] {
        refused(&JOB.replace("r:mirror/a", remote), expected);
    }
    refused(&JOB.replace("/data/a", "/home/me/.local/state/treeferry/x"), "`source` lies in state_dir");
    refused(
        &JOB.replace("name = \"a\"", "name = \"logs\""),
        "would share /home/me/.local/state/treeferry/logs",
    );
}

#[test]
fn without_a_home_the_state_needs_a_place() {
    let homeless = Defaults { state_home: None, ..defaults() };
    let message = Configuration::parse(JOB, Path::new("c.toml"), &homeless).unwrap_err().to_string();
    assert!(message.contains("neither HOME nor XDG_STATE_HOME is set; write `state_dir"), "{message}");
    let text = format!("state_dir = \"/var/lib/treeferry\"\n{JOB}");
    assert!(Configuration::parse(&text, Path::new("c.toml"), &homeless).is_ok());
}

#[test]
fn rclone_settings_are_checked() {
    let strict =
        Defaults { check_rclone_flags: |flags| Err(format!("{} is refused", flags[0])), ..defaults() };
    let text = format!("[rclone]\nflags = [\"--update\"]\n{JOB}");
    let message = Configuration::parse(&text, Path::new("c.toml"), &strict).unwrap_err().to_string();
    assert_eq!(message, "c.toml:2:9: `flags`: --update is refused");
    refused(
        &format!("[rclone]\nenvironment = [\"PATH\"]\n{JOB}"),
        "`environment` holds names of RCLONE_* variables, not \"PATH\"",
    );
    refused(&format!("[rclone]\nprogram = \"bin/rclone\"\n{JOB}"), "`program` must be a name");
    refused(&format!("[rclone]\nconfig = \"rclone.conf\"\n{JOB}"), "`config` must be an absolute path");
}

const NOTIFY: &str = r#"
[notify]
on = "failure"
proxy = "socks5://me:proxy-secret@127.0.0.1:1080"
[notify.telegram]
bot_token = "token-secret"
chat_id = -100123
[notify.mail]
smtp = "smtps://me:mail-secret@host:465"
from = "nas@example.org"
to = "me@example.org"
[notify.webhook]
url = "https://example.org/hook-secret"
headers = { Authorization = "Bearer header-secret", X-Key = { file = "/etc/key" } }
body = "token=body-secret&message={text}"
[notify.healthcheck]
url_file = "/etc/hc"
"#;

#[test]
fn notifications_are_read_whole() {
    let configuration = parse(&format!("{JOB}{NOTIFY}")).unwrap();
    let notify = &configuration.notify.channels;
    assert_eq!(notify.telegram.as_ref().unwrap().chat_id, "-100123");
    assert_eq!(notify.mail.as_ref().unwrap().to, ["me@example.org"]);
    assert_eq!(notify.healthcheck.as_ref().unwrap().url, Secret::File("/etc/hc".into()));
    let webhook = notify.webhook.as_ref().unwrap();
    assert_eq!(webhook.headers["X-Key"], Secret::File("/etc/key".into()));
    assert_eq!(webhook.body, Some(Secret::Value("token=body-secret&message={text}".into())));
    let prepared = format!("{JOB}[notify.telegram]\n[notify.mail]\n");
    assert_eq!(parse(&prepared).unwrap().notify.channels.telegram, None);
}

#[test]
fn half_a_notification_is_refused() {
    let with = |text: &str| format!("{JOB}{text}\n");
    refused(&with("[notify.telegram]\nchat_id = 1"), "`bot_token` is missing in [notify.telegram]");
    refused(&with("[notify.telegram]\nbot_token = \"x\""), "`chat_id` is missing");
    refused(
        &with("[notify.telegram]\nbot_token = \"x\"\nbot_token_file = \"/x\"\nchat_id = 1"),
        "only one of `bot_token`",
    );
    refused(&with("[notify.telegram]\nbot_tokn = \"x\""), "did you mean `bot_token`?");
    refused(&with("[notify.mail]\nto = \"a@b\""), "needs either `smtp` or `sendmail`");
    refused(
        &with("[notify.mail]\nto = \"a@b\"\nsmtp = \"smtp://h\"\nsendmail = \"/s\""),
        "needs either `smtp` or `sendmail`",
    );
    refused(&with("[notify.mail]\nto = \"a@b\"\nsmtp = \"smtp://h\""), "`from` is missing");
    refused(&with("[notify.mail]\nsendmail = \"/usr/sbin/sendmail\"\nto = []"), "at least one mail address");
    let mail = "[notify.mail]\nto = \"a@b\"\nfrom = \"a@b\"\n";
    refused(&with(&format!("{mail}smtp = \"smtps://u:secret@:465\"")), "`smtp`");
    refused(&with(&format!("{mail}smtp = \"smtps://h?tls=none\"")), "?tls=none, with smtp:// only");
    refused(
        &with(&format!("{}smtp = \"smtps://h\"", mail.replace("\"a@b\"", "\"a b@\""))),
        "is no mail address",
    );
    refused(&with("[notify.webhook]\nurl = \"ftp://x\""), "begins with http:// or https://");
    refused(&with("[notify]\nproxy = \"host:1\""), "`proxy` must be a URL");
}

#[test]
fn a_login_that_an_address_cannot_hold_is_refused_and_not_shown() {
    let telegram = "[notify.telegram]\nbot_token = \"x\"\nchat_id = 1\napi_base = \"https://u:hunter2?x@h\"";
    let mail = "[notify.mail]\nto = \"a@b\"\nfrom = \"a@b\"\nsmtp = \"smtps://me:25#hunter2@host:465\"";
    for (key, text) in [
        ("proxy", "[notify]\nproxy = \"socks5://user:hunter2/x@127.0.0.1:9\""),
        ("smtp", mail),
        ("api_base", telegram),
    ] {
        let told = parse(&format!("{JOB}{text}\n")).unwrap_err().to_string();
        assert!(
            told.contains(&format!("`{key}` has a /, # or ? before its last @: write / as %2F")),
            "{told}"
        );
        assert!(!told.contains("hunter2"), "{told}");
    }
    let encoded = format!("{JOB}[notify]\nproxy = \"socks5://user:hunter2%2Fx@127.0.0.1:9\"\n");
    assert!(parse(&encoded).unwrap().show().contains("socks5://user:***@127.0.0.1:9"));
}

#[test]
fn what_is_shown_reads_back_and_holds_no_secret() {
    let text = format!(
        "[rclone]\nflags = [\"--webdav-pass=flag-secret\"]\n{JOB}max_delete = 7\nexclude = [\"a \\\"b\\\"\", \"图\"]\nscan.skip_settled = \"off\"\n"
    );
    let configuration = parse(&text).unwrap();
    let read_back = parse(&configuration.show()).unwrap();
    assert_eq!(read_back.jobs, configuration.jobs);
    let plain = parse(JOB).unwrap();
    assert_eq!(parse(&plain.show()).unwrap(), plain);

    let remote = JOB.replace("r:mirror/a", ":webdav,url='https://u:url-secret@h/dav',pass='pass-secret':a/b");
    let full =
        parse(&format!("[rclone]\nflags = [\"--webdav-pass=flag-secret\"]\n{remote}{NOTIFY}")).unwrap();
    let shown = full.show();
    for text in [&shown, &format!("{full:?}")] {
        assert!(!text.contains("-secret"), "{text}");
    }
    assert_eq!(parse(&shown).unwrap().show(), shown);
}

#[test]
fn what_is_shown_names_every_key_of_a_job() {
    let shown = parse(JOB).unwrap().show();
    let shown: BTreeSet<&str> = shown.lines().filter_map(|line| line.split(" = ").next()).collect();
    for key in KEYS.iter().filter(|key| !key.section.contains('.') && key.section != "scan") {
        assert!(shown.contains(key.name), "{}", key.name);
    }
    assert!(shown.contains("scan.skip_settled"));
}

#[test]
fn configuration_reference_is_that_of_the_code() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&file, reference()).unwrap();
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(written, reference(), "run: UPDATE_DOCS=1 cargo test --lib configuration_reference");
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(
        position in 0..1_000_usize,
        length in 0..20_usize,
        inserted in "[\\[\\]\\.=\"',:a-z0-9%~/\n\u{0}\u{7f}图]{0,12}",
    ) {
        let whole = format!("state_dir = \"/s\"\n[rclone]\nflags = [\"--x=1\"]\n{JOB}max_delete = \"5%\"\npause = \"2s\"\n{NOTIFY}");
        let characters: Vec<char> = whole.chars().collect();
        let start = position % characters.len();
        let end = (start + length).min(characters.len());
        let text: String = characters[..start].iter().copied()
            .chain(inserted.chars())
            .chain(characters[end..].iter().copied())
            .collect();
        match parse(&text) {
            Ok(configuration) => {
                let shown = configuration.show();
                proptest::prop_assert!(parse(&shown).is_ok(), "{text}\n{shown}");
            }
            Err(error) => proptest::prop_assert!(!error.problems.is_empty(), "{text}"),
        }
    }
}
