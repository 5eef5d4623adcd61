//! Runs of the program and what is told about them.

use crate::support::post::{Reply, WebServer};
use crate::support::program::{Finished, chmod};
use crate::support::servers::Rclone;
use crate::support::trees::Plan;
use crate::support::world::{JOB, World};
use std::fs;
use std::path::Path;

const TOKEN: &str = "123456:AAE-secret_token";

/// Adds `[notify]` tables to what the world says.
pub(super) fn configure(world: &World, notify: &str) {
    let text = format!("{}\n{notify}", world.configuration.text());
    fs::write(world.root().join("config.toml"), text).unwrap();
}

fn telegram(server: &WebServer, on: &str) -> String {
    format!(
        "[notify]\non = \"{on}\"\n[notify.telegram]\nbot_token = \"{TOKEN}\"\nchat_id = -100\napi_base = \"{}\"\n",
        server.url()
    )
}

fn log(world: &World) -> String {
    let folder = world.configuration.state_dir.join("logs");
    let file = fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
    fs::read_to_string(file).unwrap()
}

fn run(world: &World, arguments: &[&str]) -> Finished {
    let mut command = world.program.command(arguments);
    command.env("LC_ALL", "en_US.UTF-8");
    Finished::from(command.output().unwrap())
}

#[test]
fn a_summary_with_uploads_bytes_time_and_the_log_goes_by_telegram_once_for_all_jobs() {
    let mut world = World::local(Rclone::Current);
    Plan::plain(20, 1).plant(&world.source());
    let second = crate::support::program::Job::new(
        "missing",
        &world.root().join("nowhere"),
        &format!("local:{}/second", world.root().display()),
    );
    world.configuration.jobs.push(second);
    let server = WebServer::telegram(TOKEN, "-100", None);
    configure(&world, &telegram(&server, "always"));
    run(&world, &["backup"]).expect(13);
    let text = server.only_text();
    for part in [
        "treeferry: photos, missing: 1 of 2 jobs in TROUBLE\n\n",
        "photos: everything is protected\n",
        "  uploaded: 20 files, ",
        "  time taken: ",
        "missing: stopped: ",
        "  what to do: look whether the source is there and readable\n",
        "log: ",
    ] {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
    assert!(log(&world).contains("notification by telegram was sent"));
}

#[test]
fn the_summary_tells_trashed_deleted_and_failed_files_with_the_first_reasons() {
    let mut world = World::local(Rclone::Current);
    Plan::plain(20, 1).plant(&world.source());
    let server = WebServer::telegram(TOKEN, "-100", None);
    world.become_ordinary();
    run(&world, &["backup"]).expect(0);
    configure(&world, &telegram(&server, "failure"));
    run(&world, &["backup"]).expect(0);
    assert!(server.requests().is_empty());
    let (deleted, closed) = (world.source().join("gone"), world.source().join("closed"));
    fs::write(&deleted, "x").unwrap();
    world.become_ordinary();
    configure(&world, &telegram(&server, "failure"));
    run(&world, &["backup"]).expect(0);
    fs::remove_file(&deleted).unwrap();
    fs::write(&closed, "x").unwrap();
    world.become_ordinary();
    configure(&world, &telegram(&server, "failure"));
    chmod(&closed, 0);
    run(&world, &["backup"]).expect(3);
    let text = server.only_text();
    for part in
        ["not protected: 1 path\n    closed: ", "  moved to the trash: 1 file\n", "1 path not protected\n\n"]
    {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
}

#[test]
fn with_on_change_a_run_that_changes_nothing_is_not_told_and_a_plan_never_is() {
    let world = World::local(Rclone::Current);
    Plan::plain(3, 1).plant(&world.source());
    let server = WebServer::telegram(TOKEN, "-100", None);
    configure(&world, &telegram(&server, "change"));
    run(&world, &["plan"]).expect(0);
    run(&world, &["backup", "-n"]).expect(0);
    assert!(server.requests().is_empty());
    run(&world, &["backup"]).expect(0);
    run(&world, &["backup"]).expect(0);
    assert!(server.only_text().contains("uploaded: 3 files"));
}

#[test]
fn the_summary_is_chinese_by_configuration_on_the_terminal_too() {
    let world = World::local(Rclone::Current);
    Plan::plain(3, 1).plant(&world.source());
    let server = WebServer::telegram(TOKEN, "-100", None);
    let text = format!("language = \"zh\"\n{}\n{}", world.configuration.text(), telegram(&server, "always"));
    fs::write(world.root().join("config.toml"), text).unwrap();
    let told = run(&world, &["backup"]).expect(0).says("全部已受保护；已发送 3 个文件");
    assert!(!told.to_string().contains("everything is protected"), "{told}");
    let text = server.only_text();
    assert!(text.contains("全部已受保护") && text.contains("已上传: 3 个文件"), "{text}");
}

/// Every file below, one after the other.
fn everything(folder: &Path) -> String {
    crate::support::trees::files_below(folder)
        .into_iter()
        .map(|path| String::from_utf8_lossy(&fs::read(folder.join(path)).unwrap_or_default()).into_owned())
        .collect()
}

#[test]
fn a_notification_that_fails_is_logged_tried_once_more_shown_by_status_and_changes_nothing_else() {
    let world = World::local(Rclone::Current);
    Plan::plain(3, 1).plant(&world.source());
    let server = WebServer::start(|request, before| match before {
        0 | 1 => Reply::Answer(500, format!("broken at {}", request.path())),
        _ => Reply::Answer(200, "{\"ok\": true}".into()),
    });
    configure(&world, &telegram(&server, "always"));
    let first = run(&world, &["backup"]).expect(0).says("warning: notification by telegram failed");
    world.assert_mirror_equals_source();
    assert_eq!(server.requests().len(), 2);
    let log = log(&world);
    assert_eq!(log.matches("broken at /bot***/sendMessage").count(), 2, "{log}");
    let status = run(&world, &["status"]).expect(0).says("the last notification by telegram failed");
    let shown = run(&world, &["config", "show"]).expect(0);
    let kept = everything(&world.configuration.state_dir);
    for told in [first.to_string(), status.to_string(), shown.to_string(), kept] {
        assert!(!told.contains("secret"), "{told}");
    }
    run(&world, &["backup"]).expect(0);
    let status = run(&world, &["status"]).expect(0);
    assert!(!status.to_string().contains("notification"), "{status}");
}

#[test]
fn a_test_that_gets_through_ends_what_status_says_of_the_channel() {
    let world = World::local(Rclone::Current);
    let server = WebServer::start(|_, before| match before {
        0..=3 => Reply::Answer(500, "broken".into()),
        _ => Reply::Answer(200, "{\"ok\": true}".into()),
    });
    fs::remove_dir_all(world.source()).unwrap();
    configure(&world, &telegram(&server, "failure"));
    run(&world, &["backup"]).expect(13).says("warning: notification by telegram failed");
    fs::create_dir(world.source()).unwrap();
    Plan::plain(3, 1).plant(&world.source());
    let is_told =
        || run(&world, &["status"]).to_string().contains("the last notification by telegram failed");
    // What is well is not told, and so says nothing of the channel.
    run(&world, &["backup"]).expect(0);
    assert!(is_told());
    run(&world, &["notify", "test"]).expect(1);
    assert!(is_told());
    run(&world, &["notify", "test"]).expect(0);
    assert!(!is_told());
}

#[test]
fn no_secret_is_in_the_log_at_whatever_level() {
    let world = World::local(Rclone::Current);
    Plan::plain(3, 1).plant(&world.source());
    let server = WebServer::start(|_, _| Reply::Answer(200, "{\"ok\": true}".into()));
    let others = format!(
        "[notify.webhook]\nurl = \"{0}/hook/path-secret\"\nheaders = {{ X-Key = \"header-secret\" }}\n\
        [notify.healthcheck]\nurl = \"{0}/ping/ping-secret\"\n\
        [notify.mail]\nsmtp = \"smtp://ferry:mail-secret@127.0.0.1:1\"\nfrom = \"a@b\"\nto = \"a@b\"\n",
        server.url()
    );
    configure(&world, &(telegram(&server, "always") + &others));
    let finished = run(&world, &["--log-level", "trace", "-vvv", "backup"]).expect(0);
    assert_eq!(server.requests().len(), 4);
    let log = log(&world);
    assert!(log.contains("notification by telegram was sent"), "{log}");
    let told = format!("{log}{finished}{}", everything(&world.configuration.state_dir));
    let lines: Vec<&str> = told.lines().filter(|line| line.contains("secret")).collect();
    assert!(lines.is_empty(), "{lines:#?}");
}

#[test]
fn a_signal_ends_the_waiting_for_a_server_that_hangs_and_the_backup_is_done_all_the_same() {
    let world = World::local(Rclone::Current);
    Plan::plain(3, 1).plant(&world.source());
    let server = WebServer::start(|_, _| Reply::Hang);
    configure(&world, &telegram(&server, "always"));
    let child = world.program.start(&["backup"]);
    while server.requests().is_empty() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let id = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
    Finished::from(child.wait_with_output().unwrap()).expect(0).says("told to end at once");
    world.assert_mirror_equals_source();
}

#[test]
fn a_healthcheck_hears_the_start_and_how_it_ended_with_the_end_of_the_log() {
    let world = World::local(Rclone::Current);
    Plan::plain(3, 1).plant(&world.source());
    let server = WebServer::start(|_, _| Reply::good());
    configure(&world, &format!("[notify.healthcheck]\nurl = \"{}/ping/uuid\"\n", server.url()));
    run(&world, &["backup"]).expect(0);
    fs::rename(world.source(), world.root().join("elsewhere")).unwrap();
    run(&world, &["backup"]).expect(13);
    let requests = server.requests();
    let paths: Vec<&str> = requests.iter().map(|request| request.path()).collect();
    assert_eq!(paths, ["/ping/uuid/start", "/ping/uuid", "/ping/uuid/start", "/ping/uuid/fail"]);
    assert!(requests[1].body.contains(&format!("{JOB}: begins")), "{}", requests[1].body);
    assert!(requests[3].body.contains("exit code 13"), "{}", requests[3].body);
}

#[test]
fn a_webhook_without_template_gets_the_summary_as_json() {
    let world = World::local(Rclone::Current);
    Plan::plain(3, 1).plant(&world.source());
    let server = WebServer::start(|_, _| Reply::good());
    configure(&world, &format!("[notify.webhook]\nurl = \"{}/hook\"\n", server.url()));
    run(&world, &["backup"]).expect(0);
    let told = server.requests()[0].json();
    assert_eq!((told["exit_code"].as_u64(), told["jobs"][0]["files_uploaded"].as_u64()), (Some(0), Some(3)));
}

#[test]
fn notify_test_tries_every_channel_and_says_which_ones_work() {
    let world = World::local(Rclone::Current);
    run(&world, &["notify", "test"]).expect(2).says("names no channel");
    let good = WebServer::telegram(TOKEN, "-100", None);
    let bad = WebServer::start(|_, _| Reply::Answer(404, String::new()));
    let sendmail = world.root().join("sendmail");
    fs::write(&sendmail, "#!/bin/sh\ncat >/dev/null\n").unwrap();
    chmod(&sendmail, 0o755);
    let mail = format!("[notify.mail]\nsendmail = \"{}\"\nto = \"me@example.org\"\n", sendmail.display());
    configure(&world, &format!("{}{mail}", telegram(&good, "failure")));
    run(&world, &["notify", "test"]).expect(0).says("telegram: works\nmail: works\n");
    assert!(good.only_text().contains("This is a test."));
    let hook = format!("[notify.webhook]\nurl = \"{}/hook\"\n", bad.url());
    configure(&world, &format!("{}{mail}{hook}", telegram(&good, "failure")));
    let finished = run(&world, &["--json", "notify", "test"]).expect(1);
    let delivered: Vec<(String, bool)> = finished
        .messages("delivery")
        .iter()
        .map(|line| (line["channel"].to_string(), line["delivered"].as_bool().unwrap()))
        .collect();
    let expected = [("\"telegram\"", true), ("\"mail\"", true), ("\"webhook\"", false)];
    assert_eq!(delivered, expected.map(|(name, works)| (name.to_owned(), works)));
    assert!(world.rclone_calls().is_empty());
}
