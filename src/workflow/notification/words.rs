//! What is said, in English and in Chinese.

use crate::workflow::configuration::Language;
use crate::workflow::figures;
use crate::workflow::report::{JobOutcome, NotEntered};
use std::path::Path;
use std::time::Duration;

/// Mount points that are shown by name.
const FILE_SYSTEMS_SHOWN: usize = 3;

/// The language of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speech {
    /// English.
    English,
    /// Simplified Chinese.
    Chinese,
}

use Speech::{Chinese, English};

/// Words that are the same whatever they are about.
macro_rules! words {
    ($($name:ident = $english:literal, $chinese:literal;)*) => {
        impl Speech {
            $(
                #[doc = $english]
                pub fn $name(self) -> &'static str {
                    match self { English => $english, Chinese => $chinese }
                }
            )*
        }
    };
}

words! {
    log = "log", "日志";
    host = "host", "主机";
    went_up = "uploaded", "已上传";
    moved = "moved", "已移动";
    trashed = "moved to the trash", "移入回收站";
    deleted = "deleted", "已删除";
    failed = "failed", "失败";
    not_protected = "not protected", "未受保护";
    nothing_went_up = "nothing", "无";
    nothing = "nothing, there was nothing to send", "无，没有需要发送的内容";
    time_taken = "time taken", "用时";
    mirror_check = "check of the mirror", "远端校验";
    check_good = "good:", "正常：";
    check_missing = "missing:", "缺失：";
    check_different = "different:", "不一致：";
    check_surplus = "unknown to us:", "多余：";
    check_failed = "not to be looked at:", "无法检查：";
    check_sent_again = "sent again:", "已重新上传：";
    what_to_do = "what to do", "如何处理";
    warning = "warning", "警告";
    all_well = "all is well", "一切正常";
    test_result = "test message", "测试消息";
    test_text = "This is a test. Whoever reads it will be told about backups.", "这是一条测试消息。收到它，就能收到备份通知。";
}

impl Speech {
    /// `auto`: by the locale, `zh_CN.UTF-8` or the like.
    pub fn of(language: Language, locale: &str) -> Speech {
        match language {
            Language::English => English,
            Language::Chinese => Chinese,
            Language::Auto if locale.to_ascii_lowercase().starts_with("zh") => Chinese,
            Language::Auto => English,
        }
    }

    /// For a subject: a few words.
    pub(super) fn short(self, outcome: &JobOutcome, unprotected: u64) -> String {
        let (english, chinese) = match outcome {
            JobOutcome::Protected => ("everything is protected", "全部已受保护"),
            JobOutcome::Unprotected => {
                return match self {
                    English => format!("{} not protected", figures::counted(unprotected, "path", "paths")),
                    Chinese => format!("{} 项未受保护", figures::count(unprotected)),
                };
            }
            JobOutcome::BudgetSpent { .. } => ("to be continued", "未完，下次继续"),
            JobOutcome::RemoteUnwell { .. } => ("FAILED: the remote is unwell", "失败：远端异常"),
            JobOutcome::NoIndex => ("FAILED: no index yet", "失败：尚无索引"),
            JobOutcome::LockHeld { .. } => ("already running", "已在运行"),
            JobOutcome::Authentication { .. } => {
                ("FAILED: the remote wants a login", "失败：远端需要重新登录")
            }
            JobOutcome::GuardStopped { .. } => ("STOPPED by a guard", "已被保护机制停止"),
            JobOutcome::RemoteFull { .. } => ("FAILED: the remote is full", "失败：远端空间已满"),
            JobOutcome::Damaged { .. } => ("DAMAGE was found", "发现损坏"),
            JobOutcome::Skipped { .. } => ("skipped", "已跳过"),
            JobOutcome::Interrupted { .. } => ("interrupted", "已中断"),
            JobOutcome::Configuration { .. } => {
                ("FAILED: the configuration cannot be used", "失败：配置不可用")
            }
            JobOutcome::Fatal { .. } => ("FAILED", "失败"),
        };
        self.choose(english, chinese)
    }

    /// With the reason.
    pub fn long(self, outcome: &JobOutcome) -> String {
        match outcome {
            JobOutcome::Protected => self.choose("everything is protected", "全部已受保护"),
            JobOutcome::Unprotected => {
                self.choose("finished, but not everything is protected", "已完成，但有内容未受保护")
            }
            JobOutcome::BudgetSpent { budget } => self.with("stopped by a budget", "额度已用完", budget),
            JobOutcome::RemoteUnwell { reason } => self.with("the remote is unwell", "远端异常", reason),
            JobOutcome::NoIndex => self.choose("there is no index yet", "尚无索引"),
            JobOutcome::LockHeld { holder } => {
                self.with("another run is under way", "另一次运行尚未结束", holder)
            }
            JobOutcome::Authentication { reason } => {
                self.with("the remote does not let us in", "远端拒绝登录", reason)
            }
            JobOutcome::GuardStopped { guard: Some(guard), message } => match self {
                English => format!("stopped by the guard {guard}, nothing was sent: {message}"),
                Chinese => format!("被保护机制 {guard} 停止，未发送任何内容：{}", self.reason(message)),
            },
            JobOutcome::GuardStopped { guard: None, message } => self.with("stopped", "已停止", message),
            JobOutcome::RemoteFull { reason } => self.with("the remote is full", "远端空间已满", reason),
            JobOutcome::Damaged { message } => self.with("damage was found", "发现损坏", message),
            JobOutcome::Skipped { reason } => self.with("skipped by a hook", "被钩子跳过", reason),
            JobOutcome::Interrupted { signal } => {
                self.with("interrupted by signal", "被信号中断", &signal.to_string())
            }
            JobOutcome::Configuration { message } => {
                self.with("the configuration cannot be used", "配置不可用", message)
            }
            JobOutcome::Fatal { message } => self.with("failed", "失败", message),
        }
    }

    /// The way on; `None` where nothing needs to be done.
    pub fn advice(self, job: &str, outcome: &JobOutcome) -> Option<String> {
        Some(match outcome {
            JobOutcome::Protected
            | JobOutcome::BudgetSpent { .. }
            | JobOutcome::LockHeld { .. }
            | JobOutcome::Skipped { .. } => return None,
            JobOutcome::Unprotected => self.choose(
                "look at the reasons below; the next run tries again",
                "请查看下列原因；下次运行会重试",
            ),
            JobOutcome::RemoteUnwell { .. } => self.choose(
                "nothing, if it passes: the next run goes on; else look after the remote",
                "如能自行恢复则无需处理，下次运行会继续；否则请检查远端",
            ),
            JobOutcome::NoIndex => self.choose("run `treeferry backup`", "请运行 `treeferry backup`"),
            JobOutcome::Authentication { .. } => self.choose(
                "renew the login of the remote in rclone (`rclone config reconnect`)",
                "请在 rclone 中重新登录远端（`rclone config reconnect`）",
            ),
            JobOutcome::GuardStopped { guard: Some(guard), .. } => match self {
                English => {
                    format!("look; if this is meant: `treeferry backup {job} --accept {guard}`")
                }
                Chinese => format!("请检查；若确属预期：`treeferry backup {job} --accept {guard}`"),
            },
            JobOutcome::GuardStopped { guard: None, .. } => {
                self.choose("look whether the source is there and readable", "请检查源目录是否存在且可读")
            }
            JobOutcome::RemoteFull { .. } => self.choose("make room on the remote", "请在远端腾出空间"),
            JobOutcome::Damaged { .. } => self.choose(
                "see the log for the names, and run `treeferry verify`",
                "请查看日志中的文件名，并运行 `treeferry verify`",
            ),
            JobOutcome::Interrupted { .. } => self.choose(
                "nothing: the state is saved and the next run goes on",
                "无需处理：状态已保存，下次运行会继续",
            ),
            JobOutcome::Configuration { .. } => self.choose(
                "correct it and check with `treeferry config validate`",
                "请修正配置，并用 `treeferry config validate` 检查",
            ),
            JobOutcome::Fatal { .. } => self.choose("see the log", "请查看日志"),
        })
    }

    pub(super) fn jobs(self, number: usize) -> String {
        match self {
            English => format!("{number} jobs"),
            Chinese => format!("{number} 个任务"),
        }
    }

    pub(super) fn some_troubled(self, troubled: usize, all: usize) -> String {
        match self {
            English => format!("{troubled} of {all} jobs in TROUBLE"),
            Chinese => format!("{all} 个任务中有 {troubled} 个出现问题"),
        }
    }

    /// `1 other file system below the source: disk (cross_mounts)`; `None` where there is none.
    pub fn other_file_systems(self, not_entered: &NotEntered) -> Option<String> {
        let total = not_entered.total;
        let shown: Vec<String> =
            not_entered.named.iter().take(FILE_SYSTEMS_SHOWN).map(ToString::to_string).collect();
        let more = if total > shown.len() as u64 { ", …" } else { "" };
        let names = format!("{}{more}", shown.join(", "));
        let number = figures::counted(total, "other file system", "other file systems");
        (total > 0).then(|| match self {
            English => format!("{number} below the source: {names} (cross_mounts)"),
            Chinese => {
                format!("源目录下另有 {} 个文件系统：{names}（cross_mounts）", figures::count(total))
            }
        })
    }

    /// `2 files`.
    pub fn files(self, number: u64) -> String {
        match self {
            English => figures::files(number),
            Chinese => format!("{} 个文件", figures::count(number)),
        }
    }

    /// `2 files, 3.4 MiB`.
    pub fn files_and_bytes(self, number: u64, bytes: u64) -> String {
        let comma = match self {
            English => ", ",
            Chinese => "，",
        };
        format!("{}{comma}{}", self.files(number), figures::bytes(bytes))
    }

    /// `2 paths`.
    pub fn paths(self, number: u64) -> String {
        match self {
            English => figures::counted(number, "path", "paths"),
            Chinese => format!("{} 项", figures::count(number)),
        }
    }

    pub(super) fn and_more(self, number: u64) -> String {
        match self {
            English => format!("and {} more, named in the log", figures::count(number)),
            Chinese => format!("另有 {} 项，见日志", figures::count(number)),
        }
    }

    pub(super) fn cut_note(self, log: Option<&Path>) -> String {
        let log = log.map(|log| log.display().to_string()).unwrap_or_default();
        match self {
            English => format!("… too long, the rest is in the log {log}"),
            Chinese => format!("… 内容过长，其余见日志 {log}"),
        }
    }

    /// `3 min 20 s`.
    pub fn duration(self, duration: Duration) -> String {
        let text = figures::duration(duration);
        match self {
            English => text,
            Chinese => {
                text.replace("min", "分").replace(" s", " 秒").replace(" h", " 小时").replace(" d", " 天")
            }
        }
    }

    /// What is said in this language.
    pub fn either<T>(self, english: T, chinese: T) -> T {
        match self {
            English => english,
            Chinese => chinese,
        }
    }

    fn choose(self, english: &str, chinese: &str) -> String {
        self.either(english, chinese).to_owned()
    }

    fn with(self, english: &str, chinese: &str, reason: &str) -> String {
        match self {
            English => format!("{english}: {reason}"),
            Chinese => format!("{chinese}：{}", self.reason(reason)),
        }
    }
}
