#![allow(clippy::unwrap_used)]

use super::words::Speech;
use super::*;
use crate::model::TreePath;
use crate::workflow::configuration::Language;
use crate::workflow::options::Guard;
use time::macros::datetime;

fn report(job: &str, outcome: JobOutcome) -> JobReport {
    let mut report = JobReport::new(job, datetime!(2026-11-22 18:15:00 UTC));
    report.finished = datetime!(2026-11-22 18:18:20 UTC);
    report.outcome = outcome;
    report
}

fn busy() -> JobReport {
    let mut report = report("photos", JobOutcome::Unprotected);
    report.files_uploaded = 12;
    report.bytes_uploaded = 3_565_158;
    report.files_trashed = 2;
    report.files_removed = 1;
    report.files_failed = 3;
    report.unprotected.add(TreePath::from_bytes("图/a\nb").unwrap(), "permission\ndenied");
    report
}

fn announce<'a>(reports: &'a [JobReport]) -> Announcement<'a> {
    Announcement {
        reports,
        summaries: vec![json!({"job": "photos"})],
        log: Some(Path::new("/l/backup.log")),
        exit_code: 3,
        host: "nas",
        locale: "",
    }
}

#[test]
fn a_summary_tells_uploads_bytes_trashed_deleted_failures_time_log_and_what_to_do() {
    let reports = [busy()];
    let message = message::build(&announce(&reports), Speech::English);
    assert_eq!(message.subject, "treeferry: photos: 1 path not protected");
    let expected = "\
photos: finished, but not everything is protected
  what to do: look at the reasons below; the next run tries again
  uploaded: 12 files, 3.4 MiB
  moved to the trash: 2 files
  deleted: 1 file
  failed: 3 files
  time taken: 3 min 20 s
  not protected: 1 path
    图/a\\nb: permission denied

log: /l/backup.log
host: nas
";
    assert_eq!(message.text, expected);
    let json: Value = serde_json::from_str(&message.json).unwrap();
    assert_eq!((json["exit_code"].as_u64(), json["jobs"][0]["job"].as_str()), (Some(3), Some("photos")));
    assert!(message.fields.contains(&("bytes_uploaded", "3565158".into())), "{:?}", message.fields);
}

#[test]
fn the_summary_speaks_chinese_when_it_is_told_to_or_the_locale_does() {
    let reports = [busy()];
    let message = message::build(&announce(&reports), Speech::Chinese);
    assert_eq!(message.subject, "treeferry: photos: 1 项未受保护");
    let expected = "\
photos: 已完成，但有内容未受保护
  如何处理: 请查看下列原因；下次运行会重试
  已上传: 12 个文件，3.4 MiB
  移入回收站: 2 个文件
  已删除: 1 个文件
  失败: 3 个文件
  用时: 3 分 20 秒
  未受保护: 1 项
    图/a\\nb: permission denied

日志: /l/backup.log
主机: nas
";
    assert_eq!(message.text, expected);
    assert_eq!(Speech::of(Language::Auto, "zh_CN.UTF-8"), Speech::Chinese);
    assert_eq!(Speech::of(Language::Auto, "en_US.UTF-8"), Speech::English);
    assert_eq!(Speech::of(Language::Chinese, "C"), Speech::Chinese);
    assert_eq!(Speech::of(Language::English, "zh_TW"), Speech::English);
}

#[test]
fn every_outcome_has_words_and_trouble_has_advice_in_both_languages() {
    let text = || "x".to_owned();
    for outcome in [
        JobOutcome::Protected,
        JobOutcome::Unprotected,
        JobOutcome::BudgetSpent { budget: text() },
        JobOutcome::RemoteUnwell { reason: text() },
        JobOutcome::NoIndex,
        JobOutcome::LockHeld { holder: text() },
        JobOutcome::Authentication { reason: text() },
        JobOutcome::GuardStopped { guard: Some(Guard::MaxDelete), message: text() },
        JobOutcome::GuardStopped { guard: None, message: text() },
        JobOutcome::RemoteFull { reason: text() },
        JobOutcome::Damaged { message: text() },
        JobOutcome::Skipped { reason: text() },
        JobOutcome::Interrupted { signal: 15 },
        JobOutcome::Configuration { message: text() },
        JobOutcome::Fatal { message: text() },
    ] {
        for speech in [Speech::English, Speech::Chinese] {
            assert!(!speech.short(&outcome, 1).is_empty() && !speech.long(&outcome).is_empty());
            assert_eq!(speech.advice("photos", &outcome).is_some(), is_trouble(&outcome), "{outcome:?}");
        }
        assert_ne!(Speech::English.long(&outcome), Speech::Chinese.long(&outcome));
    }
    let guard = JobOutcome::GuardStopped { guard: Some(Guard::MaxDelete), message: text() };
    let stopped = [report("photos", guard.clone())];
    let message = message::build(&announce(&stopped), Speech::English);
    assert!(message.text.contains("uploaded: nothing\n"), "it has not looked: {}", message.text);
    let advice = Speech::English.advice("photos", &guard).unwrap();
    assert!(advice.contains("treeferry backup photos --accept max-delete"), "{advice}");
}

#[test]
fn of_many_failures_the_first_reasons_are_told_and_the_rest_is_counted() {
    let mut report = busy();
    for number in 0..1_500 {
        report.unprotected.add(TreePath::from_bytes(format!("{number}")).unwrap(), "x".repeat(5_000));
    }
    let reports = [report];
    let message = message::build(&announce(&reports), Speech::English);
    assert!(message.text.contains("and 1,491 more, named in the log"), "{}", message.text);
    assert!(message.text.len() < 5_000, "{}", message.text.len());
}

#[test]
fn long_paths_of_one_job_leave_room_for_the_others() {
    let mut first = report("photos", JobOutcome::Unprotected);
    for number in 0..10 {
        let path = format!("照片/{}/{number}.jpg", "图".repeat(500));
        first.unprotected.add(TreePath::from_bytes(path).unwrap(), "permission denied");
    }
    let text = message::build(&announce(&[first, busy()]), Speech::English).text;
    let named: Vec<&str> = text.lines().filter(|line| line.contains(".jpg")).collect();
    assert_eq!(named.len(), 10);
    for (number, line) in named.iter().enumerate() {
        assert!(line.starts_with("    照片/图") && line.contains("…图"), "{line}");
        assert!(line.ends_with(&format!("/{number}.jpg: permission denied")), "{line}");
        assert_eq!(line.trim_start().chars().count(), 120 + ": permission denied".len(), "{line}");
    }
    assert!(text.contains("图/a\\nb: permission denied"), "a short path stays whole: {text}");
}

#[test]
fn where_there_is_little_room_every_job_keeps_its_line_and_what_to_do() {
    let troubled = |number: usize| {
        let mut report = report(&format!("job-{number}"), JobOutcome::Unprotected);
        for file in 0..40 {
            let path = format!("照片/{}/{file}.jpg", "图".repeat(500));
            report.unprotected.add(TreePath::from_bytes(path).unwrap(), "permission denied");
        }
        report.warnings = vec!["y".repeat(60); 20];
        report
    };
    let of = |jobs: usize, speech| {
        let reports: Vec<_> = (0..jobs).map(troubled).collect();
        let message = message::build(&announce(&reports), speech);
        let texts = std::iter::once(message.text).chain(message.shorter);
        texts.into_iter().find(|text| text.encode_utf16().count() <= 3_800).unwrap()
    };
    for speech in [Speech::English, Speech::Chinese] {
        let text = of(6, speech);
        assert_eq!(text.matches(speech.what_to_do()).count(), 6, "{text}");
        assert!(text.matches("照片/图").count() >= 6, "one of each at least: {text}");
        assert_eq!(of(20, speech).matches(speech.what_to_do()).count(), 20);
        let text = of(60, speech);
        assert!((0..60).all(|job| text.contains(&format!("job-{job}: "))));
    }
}

#[test]
fn several_jobs_are_one_message() {
    let fatal = JobOutcome::Fatal { message: "no".into() };
    let reports = [report("a", JobOutcome::Protected), report("b", fatal)];
    let message = message::build(&announce(&reports), Speech::English);
    assert_eq!(message.subject, "treeferry: a, b: 1 of 2 jobs in TROUBLE");
    assert!(message.text.contains("\na: ") || message.text.starts_with("a: "), "{}", message.text);
    assert!(message.text.contains("\nb: failed: no"), "{}", message.text);
    let reports: Vec<_> = (0..5).map(|number| report(&number.to_string(), JobOutcome::Protected)).collect();
    assert_eq!(
        message::build(&announce(&reports), Speech::English).subject,
        "treeferry: 5 jobs: all is well"
    );
}

#[test]
fn it_is_told_always_on_change_or_on_failure_only() {
    let quiet = || report("a", JobOutcome::Protected);
    let locked = report("a", JobOutcome::LockHeld { holder: String::new() });
    let failed = report("a", JobOutcome::RemoteUnwell { reason: String::new() });
    let mut changed = quiet();
    changed.files_uploaded = 1;
    let told = |on, report: &JobReport| is_worth_telling(on, &[quiet(), report.clone()]);
    for (report, [always, change, failure]) in [
        (&quiet(), [true, false, false]),
        (&locked, [true, false, false]),
        (&changed, [true, true, false]),
        (&failed, [true, true, true]),
        (&busy(), [true, true, true]),
    ] {
        let found = [NotifyOn::Always, NotifyOn::Change, NotifyOn::Failure].map(|on| told(on, report));
        assert_eq!(found, [always, change, failure], "{:?}", report.outcome);
    }
}

#[test]
fn a_ping_says_how_it_ended_with_the_end_of_the_log_and_nothing_when_another_run_is_at_work() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let lines: String = (0..3_000).map(|number| format!("line {number}\n")).collect();
    std::fs::write(&log, lines).unwrap();
    let ping = |reports: &[JobReport]| {
        let announcement = Announcement { log: Some(&log), ..announce(reports) };
        ending(&announcement, &message::build(&announcement, Speech::English))
    };
    let Some(Ping::Fail(text)) = ping(&[busy()]) else { panic!("no fail") };
    assert!(text.contains("uploaded: 12 files") && text.ends_with("line 2999\n"), "{text}");
    assert!(text.len() < 12_000 && !text.contains("line 0\n"), "{}", text.len());
    let locked = report("a", JobOutcome::LockHeld { holder: String::new() });
    assert!(matches!(ping(&[report("b", JobOutcome::Protected), locked.clone()]), Some(Ping::Success(_))));
    assert_eq!(ping(&[locked]), None);
}
