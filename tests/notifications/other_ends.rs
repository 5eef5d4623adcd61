//! The room `notify` against servers that refuse, hang, close and lie.

use crate::support::post::{Reply, WayOut, WebServer, accept_all, telegram_refuses};
use crate::support::program::chmod;
use crate::support::scratch;
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::time::Duration;
use treeferry::notify::{
    Channels, Delivery, Healthcheck, Mail, MailBy, Message, Patience, Ping, Secret, Telegram, Webhook, ping,
    send,
};

const TOKEN: &str = "123456:AAE-secret_token";

const SHORT: Patience = Patience {
    attempt: Duration::from_millis(1_500),
    pause: Duration::from_millis(10),
    pause_max: Duration::from_secs(3),
};

fn message() -> Message {
    Message {
        job: "photos".into(),
        result: "all \"well\"".into(),
        subject: "treeferry: photos: all \"well\"".into(),
        text: "uploaded: 12 files\n图/a_b*c [d] <f> & \\n\n".into(),
        shorter: Vec::new(),
        cut_note: "(cut)".into(),
        fields: vec![("files_uploaded", "12".into())],
        json: "{\"message_type\":\"notification\"}".into(),
    }
}

fn only(channels: &Channels, message: &Message) -> Delivery {
    let mut deliveries = send(channels, message, &SHORT, &|| false);
    assert_eq!(deliveries.len(), 1);
    let delivery = deliveries.remove(0);
    assert!(!format!("{delivery:?} {channels:?}").contains("secret"), "{delivery:?} {channels:?}");
    delivery
}

fn telegram(api_base: String) -> Channels {
    let telegram = Telegram { bot_token: Secret::Value(TOKEN.into()), chat_id: "-100".into(), api_base };
    Channels { telegram: Some(telegram), ..Channels::default() }
}

fn fails(delivery: &Delivery, attempts: usize, reason: &str) {
    assert!(!delivery.is_delivered, "{delivery:?}");
    assert_eq!(delivery.failures.len(), attempts, "{delivery:?}");
    assert!(delivery.failures.iter().all(|failure| failure.contains(reason)), "{reason}: {delivery:?}");
}

#[test]
fn a_long_message_with_special_characters_is_taken_by_telegram() {
    let server = WebServer::telegram(TOKEN, "-100", None);
    let mut message = message();
    message.text = message.text.repeat(1_000);
    assert!(only(&telegram(server.url()), &message).is_delivered);
    let text = server.only_text();
    assert!(
        text.starts_with("treeferry: photos: all \"well\"\n\nuploaded: 12 files\n图/a_b*c [d] <f> & \\n\n")
    );
    assert!(text.ends_with("\n(cut)"), "{text}");
}

#[test]
fn what_telegram_refuses_is_told_with_advice_and_without_the_token() {
    let wrong_token = WebServer::telegram("654321:other", "-100", None);
    fails(&only(&telegram(wrong_token.url()), &message()), 2, "Unauthorized (401); check `bot_token`");
    let wrong_chat = WebServer::telegram(TOKEN, "-200", None);
    fails(&only(&telegram(wrong_chat.url()), &message()), 2, "chat not found (400); check `chat_id`");
    let kicked = WebServer::start(|_, _| telegram_refuses(403, "Forbidden: bot was kicked", json!({})));
    fails(&only(&telegram(kicked.url()), &message()), 2, "add it to the group");
    let moved = json!({"migrate_to_chat_id": -1_001_234});
    let moved =
        WebServer::start(move |_, _| telegram_refuses(400, "Bad Request: group upgraded", moved.clone()));
    fails(&only(&telegram(moved.url()), &message()), 2, "write `chat_id = -1001234`");
    // The address of the request is quoted back to us.
    let echo = WebServer::start(|request, _| Reply::Answer(502, format!("cannot reach {}", request.path())));
    fails(&only(&telegram(echo.url()), &message()), 2, "cannot reach /bot***/sendMessage");
    let lenient =
        WebServer::start(|_, _| Reply::Answer(200, "{\"ok\": false, \"description\": \"no\"}".into()));
    fails(&only(&telegram(lenient.url()), &message()), 2, ": no (200)");
    let silent = WebServer::start(|_, _| Reply::Answer(429, "{\"ok\": false}".into()));
    fails(&only(&telegram(silent.url()), &message()), 2, ": refused without a reason (429)");
    let portal = WebServer::start(|_, _| Reply::Answer(200, "<html>please log in</html>".into()));
    fails(&only(&telegram(portal.url()), &message()), 2, "what answers is no bot server");
}

#[test]
fn when_telegram_asks_to_wait_we_wait_and_come_back_once() {
    let busy = |seconds: u64| {
        telegram_refuses(429, "Too Many Requests: retry after", json!({"retry_after": seconds}))
    };
    let server = WebServer::telegram(TOKEN, "-100", Some(busy(1)));
    let delivery = only(&telegram(server.url()), &message());
    assert!(delivery.is_delivered && delivery.failures[0].contains("Too Many Requests"), "{delivery:?}");
    assert_eq!(server.requests().len(), 2);
    let server = WebServer::telegram(TOKEN, "-100", Some(busy(3_600)));
    assert!(
        only(&telegram(server.url()), &message()).is_delivered,
        "later than we wait, and yet tried once more"
    );
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn a_server_that_hangs_closes_or_refuses_is_tried_twice_and_given_up() {
    let hangs = WebServer::start(|_, _| Reply::Hang);
    fails(&only(&telegram(hangs.url()), &message()), 2, "timeout");
    assert_eq!(hangs.requests().len(), 2);
    let closes = WebServer::start(|_, _| Reply::Close);
    fails(&only(&telegram(closes.url()), &message()), 2, "asking http://127.0.0.1");
    // A port on which nobody listens any more.
    let nobody = crate::support::servers::free_port();
    fails(&only(&telegram(format!("http://127.0.0.1:{nobody}")), &message()), 2, "refused");
    fails(&only(&telegram("http://no-such-host.invalid".into()), &message()), 2, "no-such-host.invalid");
}

#[test]
fn a_token_that_is_none_is_not_sent_anywhere() {
    let server = WebServer::telegram(TOKEN, "-100", None);
    let mut channels = telegram(server.url());
    channels.telegram.as_mut().unwrap().bot_token = Secret::Value("secret with blanks".into());
    fails(&only(&channels, &message()), 2, "characters that no token has");
    assert!(server.requests().is_empty());
}

#[test]
fn messages_go_through_an_http_proxy_and_a_socks_proxy_that_resolve_the_name() {
    let server = WebServer::telegram(TOKEN, "-100", None);
    let target = server.port;
    for (scheme, proxy) in [("http", WayOut::http(target)), ("socks5", WayOut::socks5(target))] {
        let mut channels = telegram("http://api.telegram.invalid".into());
        let login =
            |password: &str| Secret::Value(format!("{scheme}://ferry:{password}@127.0.0.1:{}", proxy.port));
        channels.proxy = Some(login("hunter2"));
        let delivery = only(&channels, &message());
        assert!(delivery.is_delivered, "{scheme}: {delivery:?}");
        assert_eq!(proxy.asked(), ["api.telegram.invalid:80"]);
        channels.proxy = Some(login("secret"));
        let way = format!("through the proxy {scheme}://ferry:***@127.0.0.1:{}", proxy.port);
        fails(&only(&channels, &message()), 2, &way);
    }
    assert_eq!(server.requests().len(), 2);
}

fn webhook(server: &WebServer, headers: &[(&str, &str)], body: &str) -> Channels {
    let headers: BTreeMap<_, _> =
        headers.iter().map(|(name, value)| ((*name).to_owned(), Secret::Value((*value).into()))).collect();
    let url = Secret::Value(format!("{}/hooks/path-secret?key=query-secret", server.url()));
    let body = (!body.is_empty()).then(|| Secret::Value(body.into()));
    Channels { webhook: Some(Webhook { url, headers, body }), ..Channels::default() }
}

#[test]
fn a_webhook_gets_its_headers_and_its_template_filled_in_and_escaped() {
    let server = WebServer::start(|_, _| Reply::Answer(204, String::new()));
    let headers = [("Authorization", "Bearer header-secret")];
    for body in ["", "{\"n\": {files_uploaded}, \"t\": \"{subject}\"}", "{subject}"] {
        let channels = webhook(&server, &headers, body);
        assert!(only(&channels, &message()).is_delivered);
    }
    let requests = server.requests();
    assert!(
        requests.iter().all(|request| request.line == "POST /hooks/path-secret?key=query-secret HTTP/1.1")
    );
    assert!(
        requests
            .iter()
            .all(|request| request.headers.contains(&"authorization: Bearer header-secret".into()))
    );
    assert_eq!(requests[0].json()["message_type"], "notification");
    assert_eq!(requests[1].json(), json!({"n": 12, "t": "treeferry: photos: all \"well\""}));
    assert!(requests[1].headers.contains(&"content-type: application/json".into()));
    assert_eq!(requests[2].body, "treeferry: photos: all \"well\"");
}

#[test]
fn what_a_webhook_sends_may_lie_in_files_and_is_not_told_when_the_other_end_quotes_it() {
    let folder = scratch();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let server = WebServer::start(|request, _| Reply::Answer(400, format!("what is {}?", request.body)));
    let mut channels = webhook(&server, &[], "");
    let hook = channels.webhook.as_mut().unwrap();
    hook.body = Some(Secret::File(file("body", "{\"token\": \"body-secret\",\n\"text\": \"{job}\"}\n")));
    let header = Secret::Command(format!("cat '{}'", file("key", "header-secret\n").display()));
    hook.headers.insert("X-Key".into(), header);
    channels.proxy = Some(Secret::File(file("proxy", "http://ferry:hunter2@127.0.0.1:1\n")));
    fails(&only(&channels, &message()), 2, "through the proxy http://ferry:***@127.0.0.1:1");
    channels.proxy = None;
    fails(&only(&channels, &message()), 2, "what is {\"token\": \"***\", \"text\": \"photos\"}?");
    let request = &server.requests()[0];
    assert_eq!(request.json(), json!({"token": "body-secret", "text": "photos"}));
    assert!(request.headers.contains(&"x-key: header-secret".into()));
}

#[test]
fn a_webhook_that_answers_no_success_has_failed_and_its_address_is_not_told() {
    for (status, said) in
        [(404, "HTTP status 404"), (500, "HTTP status 500"), (302, "points to another address")]
    {
        let server = WebServer::start(move |request, _| {
            Reply::Answer(status, format!("{} {}", request.path(), request.headers.join(" ")))
        });
        let channels = webhook(&server, &[("X-Key", "header-secret")], "");
        fails(&only(&channels, &message()), 2, said);
        assert_eq!(server.requests().len(), 2);
    }
}

#[test]
fn a_secret_over_the_edge_of_what_is_told_is_not_told() {
    for dots in [240, 255, 270, 290, 65_480, 65_500, 65_520] {
        let server = WebServer::start(move |request, _| {
            // Blanks, of which nothing is told, bring the edge of our reading near.
            let filling = if dots > 300 { " " } else { "." };
            let said = format!("{} you called {}", filling.repeat(dots), request.path());
            Reply::Answer(400, format!("{said} {}", "z".repeat(400)))
        });
        let told = only(&webhook(&server, &[], ""), &message());
        fails(&told, 2, "HTTP status 400");
        let url = Secret::Value(format!("{}/ping/uuid-secret-of-some-length", server.url()));
        let channels = Channels { healthcheck: Some(Healthcheck { url }), ..Channels::default() };
        let pinged = ping(&channels, Ping::Start, &SHORT).unwrap()(&|| false);
        let bot = only(&telegram(server.url()), &message());
        let told = format!("{told:?} {pinged:?} {bot:?}");
        for broken in ["/hook", "/ping/u", "/bot1", "123456", "secr"] {
            assert!(!told.contains(broken), "{broken}: {told}");
        }
    }
}

#[test]
fn a_redirect_is_not_followed_because_the_message_would_be_lost_on_the_way() {
    let elsewhere = WebServer::start(|_, _| Reply::good());
    let address = elsewhere.url();
    let server = WebServer::start(move |_, _| Reply::Redirect(address.clone()));
    fails(&only(&webhook(&server, &[], ""), &message()), 2, "points to another address");
    assert!(elsewhere.requests().is_empty());
}

#[test]
fn all_channels_are_told_although_one_of_them_fails() {
    let good = WebServer::start(|_, _| Reply::good());
    let mut channels = telegram("http://127.0.0.1:1".into());
    channels.webhook = webhook(&good, &[], "").webhook;
    let deliveries = send(&channels, &message(), &SHORT, &|| false);
    let worked: Vec<bool> = deliveries.iter().map(|delivery| delivery.is_delivered).collect();
    assert_eq!(worked, [false, true]);
    assert_eq!(good.requests().len(), 1);
}

#[test]
fn pings_say_start_success_and_fail_with_the_log() {
    let server = WebServer::start(|request, _| match request.path().contains("gone") {
        true => Reply::Answer(410, format!("no check at {}", request.path())),
        false => Reply::good(),
    });
    let channels = |path: &str| Channels {
        healthcheck: Some(Healthcheck { url: Secret::Value(format!("{}{path}", server.url())) }),
        ..Channels::default()
    };
    for kind in [Ping::Start, Ping::Success("log 图".into()), Ping::Fail("log".into())] {
        let delivery = ping(&channels("/ping/uuid-secret"), kind, &SHORT).unwrap()(&|| false);
        assert!(delivery.is_delivered, "{delivery:?}");
    }
    let got: Vec<(String, String)> =
        server.requests().iter().map(|request| (request.path().to_owned(), request.body.clone())).collect();
    let expected = [("/start", ""), ("", "log 图"), ("/fail", "log")];
    assert_eq!(got, expected.map(|(path, body)| (format!("/ping/uuid-secret{path}"), body.to_owned())));
    let delivery = ping(&channels("/gone/uuid-secret"), Ping::Start, &SHORT).unwrap()(&|| false);
    fails(&delivery, 2, "HTTP status 410");
    assert!(!format!("{delivery:?}").contains("secret"), "{delivery:?}");
    assert!(ping(&Channels::default(), Ping::Start, &SHORT).is_none());
}

fn mail(by: MailBy, from: Option<&str>) -> Channels {
    let mail = Mail {
        by,
        from: from.map(str::to_owned),
        to: vec!["me@example.org".into(), "you@example.org".into()],
        subject: "treeferry: {job}: {result}".into(),
    };
    Channels { mail: Some(mail), ..Channels::default() }
}

fn script(folder: &Path, text: &str) -> MailBy {
    named_script(folder, "sendmail", text)
}

fn named_script(folder: &Path, name: &str, text: &str) -> MailBy {
    let path = folder.join(name);
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    chmod(&path, 0o755);
    MailBy::Sendmail(path)
}

#[test]
fn a_sendmail_program_is_called_as_cron_calls_it_and_gets_the_whole_mail() {
    let folder = scratch();
    let got = folder.path().join("got");
    let text = format!("echo \"$@\" >'{0}.arguments'; cat >'{0}'", got.display());
    assert!(only(&mail(script(folder.path(), &text), Some("f@example.org")), &message()).is_delivered);
    assert_eq!(fs::read_to_string(folder.path().join("got.arguments")).unwrap(), "-i -t\n");
    let written = fs::read_to_string(&got).unwrap();
    assert!(!written.contains('\r'), "{written:?}");
    for line in [
        "From: f@example.org\n",
        "To: me@example.org, you@example.org\n",
        "Subject: treeferry: photos: all \"well\"\n",
    ] {
        assert!(written.contains(line), "{line:?} {written}");
    }
}

#[test]
fn other_mail_programs_are_called_as_their_names_promise() {
    let folder = scratch();
    let got = folder.path().join("got");
    let text = format!("for word; do echo \"$word\"; done >'{0}.arguments'; cat >'{0}'", got.display());
    for (name, arguments, begins) in [
        ("nullmailer-inject", "-h\n", "From: f@example.org\n"),
        (
            "mail",
            "-s\ntreeferry: photos: all \"well\"\nme@example.org\nyou@example.org\n",
            message().text.lines().next().unwrap(),
        ),
    ] {
        let by = named_script(folder.path(), name, &text);
        assert!(only(&mail(by, Some("f@example.org")), &message()).is_delivered, "{name}");
        assert_eq!(fs::read_to_string(folder.path().join("got.arguments")).unwrap(), arguments);
        let written = fs::read_to_string(&got).unwrap();
        assert!(written.starts_with(begins), "{written:?}");
    }
}

#[test]
fn a_sendmail_program_that_fails_hangs_or_is_not_there_is_told() {
    let folder = scratch();
    let by = script(folder.path(), "cat >/dev/null; echo 'no account' >&2; exit 78");
    fails(&only(&mail(by, None), &message()), 2, "ended with exit status: 78: no account");
    let by = script(folder.path(), "sleep 600");
    fails(&only(&mail(by, None), &message()), 2, "no end after 1.5 s");
    fails(&only(&mail(MailBy::Sendmail("/no/sendmail".into()), None), &message()), 2, "cannot be started");
}

#[test]
fn a_mail_server_that_quotes_the_login_gets_nobody_to_see_it() {
    let quotes = |offer: &'static str| {
        accept_all(move |stream| {
            let mut lines = BufReader::new(stream.try_clone().unwrap());
            let say = |text: &str| (&stream).write_all(text.as_bytes());
            let mut line = String::new();
            let _ = say("220 here\r\n");
            while lines.read_line(&mut line).is_ok_and(|read| read > 0) {
                let _ = match line.trim_end() {
                    hello if hello.starts_with("EHLO") => say(&format!("250-here\r\n250 AUTH {offer}\r\n")),
                    "AUTH LOGIN" => say("334 VXNlcm5hbWU6\r\n"),
                    "ZmVycnk=" => say("334 UGFzc3dvcmQ6\r\n"),
                    what => say(&format!("501 5.5.2 cannot decode: {what}\r\n")),
                };
                line.clear();
            }
        })
    };
    for (offer, told) in [("PLAIN", "cannot decode: AUTH PLAIN ***"), ("LOGIN", "cannot decode: ***")] {
        let url = format!("smtp://ferry@127.0.0.1:{}", quotes(offer));
        let by = MailBy::Smtp { url, password: Some(Secret::Value("top-secret".into())) };
        let delivery = only(&mail(by, Some("f@example.org")), &message());
        fails(&delivery, 2, told);
        // "top-secret", alone and behind "ferry".
        let told = format!("{delivery:?}");
        assert!(!told.contains("dG9wLXNlY3JldA") && !told.contains("AGZlcnJ5AHRvcC1zZWNyZXQ"), "{told}");
    }
}

#[test]
fn a_mail_server_that_refuses_hangs_closes_or_is_none_is_told() {
    let smtp =
        |port: u16| MailBy::Smtp { url: format!("smtp://ferry:secret@127.0.0.1:{port}"), password: None };
    let told = |port: u16| only(&mail(smtp(port), Some("f@example.org")), &message());
    let refuses = accept_all(|mut stream| {
        let _ = stream.write_all(b"554 5.7.1 go away\r\n");
        let _ = stream.read(&mut [0; 100]);
    });
    fails(&told(refuses), 2, "go away");
    let hangs = accept_all(|_stream| std::thread::sleep(Duration::from_secs(600)));
    fails(&told(hangs), 2, "the server did not answer within 1.5 seconds");
    fails(&told(accept_all(drop)), 2, "sending a mail by 127.0.0.1");
    fails(&told(crate::support::servers::free_port()), 2, "refused");
    // It greets, and then drips: each byte is within the limit of a step, the whole is not.
    let drips = accept_all(|mut stream| {
        while stream.write_all(b"2").is_ok() {
            std::thread::sleep(Duration::from_millis(200));
        }
    });
    fails(&told(drips), 2, "no end of it within 3 seconds");
}
