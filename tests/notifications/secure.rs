//! TLS and login, through the program: whom it trusts is said by `SSL_CERT_FILE`.

use super::runs::configure;
use crate::support::post::{PostOffice, WayOut};
use crate::support::program::Finished;
use crate::support::servers::Rclone;
use crate::support::world::World;
use serde_json::Value;

fn test_channels(world: &World, notify: &str) -> Finished {
    configure(world, notify);
    let mut command = world.program.command(&["notify", "test"]);
    command.env("SSL_CERT_FILE", PostOffice::authority()).env("LC_ALL", "zh_CN.UTF-8");
    Finished::from(command.output().unwrap())
}

fn mail(url: &str, password: &str) -> String {
    format!(
        "[notify.mail]\nsmtp = \"{url}\"\n{password}\nfrom = \"Ferry <ferry@example.org>\"\nto = [\"me@example.org\"]\n"
    )
}

const PASSWORD: &str = "password_command = \"printf 'pass word/%%40'\"";

fn check(taken: &Value) {
    assert_eq!(taken["tls"], true, "{taken}");
    assert_eq!(taken["login"], "ferry", "{taken}");
    assert_eq!(taken["sender"], "ferry@example.org");
    assert_eq!(taken["receivers"][0], "me@example.org");
    let content = taken["content"].as_str().unwrap();
    // "测试消息", as the mail standards want it in a subject.
    assert!(content.contains("Subject: =?utf-8?b?") || content.contains("=?utf-8?b?"), "{content}");
}

#[test]
fn a_mail_goes_by_smtp_with_tls_and_login() {
    let world = World::local(Rclone::Current);
    let office = PostOffice::start("smtps");
    let url = format!("smtps://ferry@localhost:{}", office.port);
    test_channels(&world, &mail(&url, PASSWORD)).expect(0).says("mail: works");
    check(&office.taken(1)[0]);
}

#[test]
fn a_mail_goes_by_smtp_with_starttls_and_login() {
    let world = World::local(Rclone::Current);
    let office = PostOffice::start("starttls");
    let url = format!("smtp://ferry@127.0.0.1:{}?tls=required", office.port);
    test_channels(&world, &mail(&url, PASSWORD)).expect(0).says("mail: works");
    check(&office.taken(1)[0]);
}

#[test]
fn a_mail_server_that_is_not_trusted_or_does_not_know_us_gets_no_mail_and_nobody_the_password() {
    let world = World::local(Rclone::Current);
    let office = PostOffice::start("smtps");
    let url = format!("smtps://ferry:wrong-secret@localhost:{}", office.port);
    let finished =
        test_channels(&world, &mail(&url, "")).expect(1).says("mail: attempt 2 failed").says("535");
    assert!(!finished.to_string().contains("wrong-secret"), "{finished}");
    let url = format!("smtps://ferry@localhost:{}", office.port);
    configure(&world, &mail(&url, PASSWORD));
    let mut command = world.program.command(&["notify", "test"]);
    command.env_remove("SSL_CERT_FILE");
    let finished = Finished::from(command.output().unwrap()).expect(1).says("certificate");
    assert!(!finished.to_string().contains("pass word"), "{finished}");
    // Without TLS there is no login, and without STARTTLS no TLS.
    let plain = PostOffice::start("starttls");
    let url = format!("smtp://ferry@127.0.0.1:{}?tls=none", plain.port);
    test_channels(&world, &mail(&url, PASSWORD)).expect(1);
    assert_eq!(office.taken(0).len() + plain.taken(0).len(), 0);
}

#[test]
fn a_receiver_that_is_unknown_is_told_in_the_words_of_the_server() {
    let world = World::local(Rclone::Current);
    let office = PostOffice::start("smtps");
    let notify = mail(&format!("smtps://ferry@localhost:{}", office.port), PASSWORD);
    let notify = notify.replace("me@example.org", "unknown@example.org");
    test_channels(&world, &notify).expect(1).says("no such user here");
    assert!(office.taken(0).is_empty());
}

#[test]
fn a_receiver_that_is_refused_takes_the_mail_from_nobody_else() {
    let world = World::local(Rclone::Current);
    let office = PostOffice::start("smtps");
    let notify = mail(&format!("smtps://ferry@localhost:{}", office.port), PASSWORD);
    let notify = notify.replace(
        "[\"me@example.org\"]",
        "[\"me@example.org\", \"unknown@example.org\", \"you@example.org\"]",
    );
    let finished =
        test_channels(&world, &notify).expect(1).says("unknown@example.org: ").says("no such user here");
    assert!(!finished.to_string().contains("attempt 2"), "the others would get it twice: {finished}");
    let taken = office.taken(2);
    assert_eq!(
        taken.iter().map(|mail| &mail["receivers"][0]).collect::<Vec<_>>(),
        ["me@example.org", "you@example.org"]
    );
    assert!(taken[0]["content"].as_str().unwrap().contains("MIME-Version: 1.0"));
}

#[test]
fn https_goes_through_a_proxy_and_trusts_whom_the_system_trusts() {
    let world = World::local(Rclone::Current);
    let office = PostOffice::start("https");
    let proxy = WayOut::http(office.port);
    let notify = format!(
        "[notify]\nproxy = \"http://ferry:hunter2@127.0.0.1:{}\"\n[notify.webhook]\nurl = \"https://localhost/hook\"\nbody = \"{{result}}\"\n",
        proxy.port
    );
    test_channels(&world, &notify).expect(0).says("webhook: works");
    assert_eq!(office.taken(1)[0]["content"], "测试消息");
    assert_eq!(proxy.asked(), ["localhost:443"]);
}
