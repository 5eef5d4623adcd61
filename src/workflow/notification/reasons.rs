//! Our own sentences about what went wrong, in Chinese. What rclone, the remote or the
//! operating system says stays as they say it: it is what one searches for.

use super::words::Speech;
use std::borrow::Cow;

/// English and Chinese; `{}` stands for what varies, in the same order.
const SENTENCES: &[(&str, &str)] = &[
    (
        "{} holds no file any more, {} files are known: perhaps a disk is not mounted. If all of them were deleted on purpose: --accept source-empty",
        "{} 中已没有任何文件，而索引中有 {} 个：可能磁盘未挂载。若确实全部有意删除：--accept source-empty",
    ),
    (
        "{} is empty: perhaps a disk is not mounted. If it is meant to be: --accept source-empty",
        "{} 为空：可能磁盘未挂载。若本应为空：--accept source-empty",
    ),
    (
        "too many files vanished from {}: {} of {} known files ({}), the limit is {}. `treeferry plan {}` shows what would happen; if it is right: --accept max-delete, or raise max_delete",
        "{} 中消失的文件过多：{} / {} 个（{}），上限为 {}。`treeferry plan {}` 可查看将要执行的操作；若属正常：--accept max-delete，或调高 max_delete",
    ),
    (
        "too many files would leave the mirror: {} of {} known files ({}), the limit is {}. {} of them did not vanish, they are only left out now. `treeferry plan {} --accept excluded,max-delete` shows what would happen; if it is right: --accept excluded,max-delete, or raise max_delete",
        "将离开镜像的文件过多：{} / {} 个（{}），上限为 {}。其中 {} 个并未消失，只是现已被排除。`treeferry plan {} --accept excluded,max-delete` 可查看将要执行的操作；若属正常：--accept excluded,max-delete，或调高 max_delete",
    ),
    (
        "the content of too many files in {} changed: {} of {} known files ({}), the limit is {}. Ransomware and failing disks look like this. If it is right: --accept max-change, or raise max_change",
        "{} 中内容变化的文件过多：{} / {} 个（{}），上限为 {}。勒索软件或磁盘故障会造成这种情况。若属正常：--accept max-change，或调高 max_change",
    ),
    (
        "{} lies on another file system than in the last run (id {}, was {}): perhaps a disk is not mounted. If it was moved on purpose: --accept source-filesystem; if it changes with every mount: source_filesystem = \"any\"",
        "{} 所在的文件系统与上次不同（现为 {}，原为 {}）：可能磁盘未挂载。若确属有意迁移：--accept source-filesystem；若每次挂载都会变化：source_filesystem = \"any\"",
    ),
    (
        "job {} backed up {} until now and is configured for {}. Everything that is not in the new source would count as deleted. If that is what you want: --accept source-changed; otherwise give the new source a job of its own",
        "任务 {} 此前备份的是 {}，现在配置为 {}。新源目录中没有的内容都会被视为已删除。若确属预期：--accept source-changed；否则请为新源目录另建任务",
    ),
    (
        "job {} has its mirror at {} and is configured for {}: what the index knows of the one says nothing of the other. Put the old `remote` back; or, if the same files lie there (the mirror was moved together with its companion, or the place has another name now): `{} --accept remote-changed`, and `{}` looks whether all of them are there; or begin anew in an empty place: give the job another name",
        "任务 {} 的镜像位于 {}，现在配置为 {}：索引所知的是前者，与后者无关。请改回原来的 `remote`；若同样的文件就在新位置（镜像连同 companion 一起移动，或只是换了名称）：`{} --accept remote-changed`，再用 `{}` 核对是否齐全；若要在空位置重新开始：请给任务另起名称",
    ),
    (
        "another writer was here: {} names mirror {} and run {}, this machine knows mirror {} and last run {}. Two machines may write to one mirror, or this one was set back to an older state. If this machine is to go on as the only one: --accept foreign-writer",
        "检测到另一写入者：{} 记录的镜像为 {}、运行为 {}，而本机所知的镜像为 {}、上次运行为 {}。可能有两台机器写入同一镜像，或本机被还原到旧状态。若今后只由本机写入：--accept foreign-writer",
    ),
    (
        "{} is not empty (it holds {}, for example), and this machine has no index of it: a first run would overwrite what lies there. Choose an empty folder; take over what lies there with `treeferry adopt {}`; or, if it may be overwritten, --accept nonempty-remote",
        "{} 不为空（例如含有 {}），而本机没有它的索引：首次运行会覆盖其中内容。请选择空目录；或用 `treeferry adopt {}` 接管已有内容；若可以覆盖：--accept nonempty-remote",
    ),
    (
        "the source {} does not exist; if a disk should be mounted there, mount it and run again. Nothing is deleted because of that",
        "源目录 {} 不存在；若应有磁盘挂载于此，请挂载后重新运行。不会因此删除任何内容",
    ),
    (
        "the source {} is not a directory; correct `source` in the configuration. Nothing is deleted because of that",
        "源 {} 不是目录；请修正配置中的 `source`。不会因此删除任何内容",
    ),
    (
        "the source {} cannot be read; check its permissions and its disk: {}. Nothing is deleted because of that",
        "源目录 {} 无法读取；请检查权限与磁盘：{}。不会因此删除任何内容",
    ),
    ("{} files missing on the remote", "远端缺失 {} 个文件"),
    ("{} files other than what was sent", "{} 个文件与上传时不一致"),
    ("{} files on the remote that nobody knows of", "远端有 {} 个来历不明的文件"),
    (
        "{} files rotten in the source; the remote holds the good version",
        "源目录中 {} 个文件已损坏（位腐烂），远端保有完好版本",
    ),
    ("missing on the remote", "远端缺失"),
    (
        "a folder lies in its place on the remote, and nothing is sent over that: move it away on the remote, then \
         run `treeferry verify --remote --repair`",
        "远端同名位置是一个文件夹，不会覆盖它：请先在远端将其移走，再运行 `treeferry verify --remote --repair`",
    ),
    ("it has {} bytes on the remote, and {} were sent", "远端大小为 {} 字节，上传时为 {} 字节"),
    ("on the remote, and unknown to the index", "远端存在，但索引中没有"),
    (
        "the last check of the mirror did not find it there (`{}` sends it again)",
        "上次远端检查时缺失（`{}` 可重新上传）",
    ),
    (
        "the last check of the mirror found something else in its place (`{}` sends it again)",
        "上次远端检查时内容不一致（`{}` 可重新上传）",
    ),
    ("the index is damaged here, the next backup mends it: {}", "索引此处损坏，下次备份会修复：{}"),
    ("is a directory that cannot be read: {}", "目录无法读取：{}"),
    (
        "a disk that was mounted here or below is not mounted now; what is here stays as it was. Mount it and run again; if it was removed for good: --accept source-filesystem",
        "此处或其下原先挂载的磁盘现未挂载；此处内容保持原状。请挂载后重新运行；若该磁盘已永久移除：--accept source-filesystem",
    ),
    (
        "another file system is mounted here than in the last run; what is here stays as it was. If that is meant: --accept source-filesystem; if it changes with every mount: source_filesystem = \"any\"",
        "此处挂载的文件系统与上次不同；此处内容保持原状。若确属有意：--accept source-filesystem；若每次挂载都会变化：source_filesystem = \"any\"",
    ),
    (
        "a disk was unmounted here while the backup ran; what was not sent before is not protected",
        "备份运行期间此处的磁盘被卸载；此前未上传的内容未受保护",
    ),
    ("is known no longer: {}", "已无法确认：{}"),
    (
        "bit rot: its content changed, but neither its size nor its {} did (BLAKE3 {} instead of {}). The remote holds the good version, and no backup replaces it; `treeferry restore` gets it back, or `treeferry backup --accept changed-content` sends the file as it is now",
        "位腐烂：内容已变，而大小与{}未变（BLAKE3 为 {}，应为 {}）。远端保有完好版本，备份不会覆盖它；可用 `treeferry restore` 取回，或用 `treeferry backup --accept changed-content` 按现状上传",
    ),
    (
        "bit rot, found by `verify --source`: it does not replace the good version on the remote. `treeferry restore` gets that back; --accept changed-content sends the file as it is",
        "位腐烂（由 `verify --source` 发现）：不会覆盖远端的完好版本。可用 `treeferry restore` 取回；--accept changed-content 则按现状上传",
    ),
    (
        "bit rot, found by `verify --source`: it does not replace the good version on the remote. `treeferry restore` gets that back from a snapshot that had it (--at); --accept changed-content sends the file as it is",
        "位腐烂（由 `verify --source` 发现）：不会覆盖远端的完好版本。可用 `treeferry restore` 从含有该文件的快照取回（--at）；--accept changed-content 则按现状上传",
    ),
    ("the remote shows nothing there", "远端没有该文件"),
    (
        "something else is there (--overwrite if-different replaces it)",
        "已有不同内容（--overwrite if-different 可替换）",
    ),
    ("the trash of run {}, where it lay, is purged", "所在的回收站（运行 {}）已清空"),
    ("this version was not kept", "该版本未保留"),
    ("modification time", "修改时间"),
    ("times", "时间"),
    (
        "it reads differently each time: its disk, cable or memory is failing",
        "每次读到的内容都不同：磁盘、线缆或内存正在失效",
    ),
    (
        "it should have left the mirror and could not be deleted there; the next run tries again",
        "本应从远端移除但未能删除；下次运行会重试",
    ),
    ("the backup is done, but the check of the mirror is not: {}", "备份已完成，但远端检查未完成：{}"),
    ("{}, before the check of the mirror that is due", "{}，到期的远端检查尚未进行"),
    ("{}, with {} of {} parts of the check of the mirror done", "{}，远端检查已完成 {} / {} 部分"),
    (
        "{} lists {} files, and by the index it holds {}: that is no answer to rely on. Nothing was concluded from it",
        "{} 列出 {} 个文件，而索引中有 {} 个：该结果不可信，未据此作出任何结论",
    ),
    ("a folder of the mirror cannot be listed: {}", "远端的某个目录无法列出：{}"),
    (
        "{}: the version that the mirror held is gone, and it is not in the trash either",
        "{}：远端原有的版本已丢失，回收站中也没有",
    ),
    (
        "{}: it was rotten, and was written since: it is no longer held back",
        "{}：此前已损坏，之后被重新写入：不再搁置",
    ),
    (
        "its content on the remote is not what was sent, as rclone reads it; this verification ended before it was read a second time",
        "据 rclone 读取，远端内容与上传时不一致；本次校验在第二次读取之前结束",
    ),
    (
        "not listed by the remote; this verification was interrupted before it was asked for by its name",
        "远端未列出该文件；本次校验在按名称查询之前中断",
    ),
    (
        "not listed by the remote, and not to be asked for by its name: {}",
        "远端未列出该文件，也无法按名称查询：{}",
    ),
    (
        "{}: a folder lies in its place on the remote, it was not sent again",
        "{}：远端同名位置是一个文件夹，未重新上传",
    ),
    ("{}: it cannot be sent again: {}", "{}：无法重新上传：{}"),
    ("{}: the source does not have this version any more either", "{}：源目录中也已没有该版本"),
    (
        "{} files are not listed by the remote, and yet there when asked for one by one ({}{}): its listings are not to be relied on",
        "{} 个文件远端未列出，逐个查询时却存在（{}{}）：远端的列表不可信",
    ),
    (
        "whole folders list nothing ({}{}). Some remotes, AList and OpenList among them, answer any error so: look at them on the web page of the remote before you believe it. A periodic check sends them again only when the next one sees the same",
        "整个目录列出为空（{}{}）。某些远端（包括 AList 与 OpenList）出错时也会如此应答：请先在远端网页上确认。定期检查仅在下次结果相同时才会重新上传",
    ),
    (
        "{}: it was rotten, and is gone from the source: its good version {}. If it was renamed, it is the rotten content that is backed up under the new name",
        "{}：此前已损坏，现已不在源目录中：其完好版本{}。若只是改名，以新名称备份的是已损坏的内容",
    ),
    (
        "went to the trash with it (`{}` gets it back while it is kept there)",
        "已随之移入回收站（保留期内可用 `{}` 取回）",
    ),
    ("went to the trash with it", "已随之移入回收站"),
    ("was deleted from the mirror with it", "已随之从远端删除"),
    ("the old trash {} was not looked into: {}", "旧回收站 {} 无法查看：{}"),
    ("the old trash of {} was not emptied: {}", "旧回收站 {} 未能清空：{}"),
    (
        "the trash of {} runs has expired, but the clock is more than 60 days ahead of the last run, or behind it: nothing is purged. If the clock is right: --accept clock",
        "{} 次运行的回收站已过期，但系统时钟比上次运行超前 60 天以上，或落后于它：未清理任何内容。若时钟无误：--accept clock",
    ),
    (
        "the index is damaged: it can't be told what the mirror keeps around {}. What lies there stays, but for what new files replace, which goes to the trash; look after the disk that holds {}",
        "索引损坏：无法得知远端在 {} 附近保留了什么。其中内容保持原状，仅被新文件取代的会移入回收站；请检查存放 {} 的磁盘",
    ),
    (
        "the index is damaged: it can't be told what the mirror holds at {} files that are in the source. What lies there goes to the trash, and they are sent again; look after the disk that holds {}",
        "索引损坏：源目录中有 {} 个文件无法得知远端的对应内容。远端原有的移入回收站，并重新上传；请检查存放 {} 的磁盘",
    ),
    (
        "{} ({}) is larger than --max-transfer {} and cannot be sent within it",
        "{}（{}）大于 --max-transfer {}，无法在该限额内上传",
    ),
];

impl Speech {
    /// A reason, in this language as far as it is ours. Several are told apart by `, `.
    pub fn reason(self, english: &str) -> Cow<'_, str> {
        if self == Speech::English {
            return Cow::Borrowed(english);
        }
        // Parts first: what varies in one of them could swallow the one before.
        let parts: Option<Vec<String>> = english.split(", ").map(translated).collect();
        let told = parts.map(|parts| parts.join("，")).or_else(|| translated(english));
        told.map_or(Cow::Borrowed(english), Cow::Owned)
    }
}

fn translated(english: &str) -> Option<String> {
    // Chinese has no singular.
    let of_one = english.strip_prefix("1 file ").map(|rest| format!("1 files {rest}"));
    let english = of_one.as_deref().unwrap_or(english);
    SENTENCES.iter().find_map(|(pattern, chinese)| {
        let found = matches(pattern, english)?;
        let mut pieces = chinese.split("{}");
        let mut sentence = pieces.next()?.to_owned();
        for (piece, value) in pieces.zip(found) {
            // A reason within a reason.
            sentence.push_str(&translated(value).unwrap_or_else(|| value.to_owned()));
            sentence.push_str(piece);
        }
        Some(sentence)
    })
}

/// What stands for the `{}` of `pattern`.
fn matches<'t>(pattern: &str, text: &'t str) -> Option<Vec<&'t str>> {
    let mut pieces = pattern.split("{}");
    let mut rest = text.strip_prefix(pieces.next()?)?;
    let mut found = Vec::new();
    let mut pieces = pieces.peekable();
    while let Some(piece) = pieces.next() {
        let end = match pieces.peek() {
            None => rest.strip_suffix(piece)?.len(),
            Some(_) => rest.find(piece)?,
        };
        found.push(&rest[..end]);
        rest = &rest[end + piece.len()..];
    }
    rest.is_empty().then_some(found)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn reasons_of_ours_are_told_in_chinese_and_others_as_they_came() {
        let told = |english: &str| Speech::Chinese.reason(english).into_owned();
        assert_eq!(told("missing on the remote"), "远端缺失");
        assert_eq!(
            told("3 files missing on the remote, 1 file other than what was sent"),
            "远端缺失 3 个文件，1 个文件与上传时不一致"
        );
        assert_eq!(told("1 file missing on the remote"), "远端缺失 1 个文件");
        assert_eq!(told("2 files missing on the remote"), "远端缺失 2 个文件");
        assert_eq!(told("1 file of others"), "1 file of others");
        let vanished = "too many files vanished from /a: b: 3 of 5 known files (60.0%), the limit is 2. `treeferry plan z` \
                        shows what would happen; if it is right: --accept max-delete, or raise max_delete";
        let chinese = told(vanished);
        assert!(chinese.starts_with("/a 中消失") || chinese.starts_with("/a: b 中消失"), "{chinese}");
        assert!(chinese.contains("treeferry plan z") && chinese.contains("60.0%"), "{chinese}");
        let nested = "the backup is done, but the check of the mirror is not: a folder of the mirror cannot be listed: 404";
        assert_eq!(told(nested), "备份已完成，但远端检查未完成：远端的某个目录无法列出：404");
        for others in ["403 Forbidden", "", "permission denied, at all"] {
            assert_eq!(told(others), others);
        }
        assert_eq!(Speech::English.reason("missing on the remote"), "missing on the remote");
    }

    #[test]
    fn both_sides_have_the_same_gaps() {
        for (english, chinese) in SENTENCES {
            assert_eq!(english.matches("{}").count(), chinese.matches("{}").count(), "{english}");
        }
    }

    /// Whoever rewords a sentence has to say it in Chinese, too.
    #[test]
    fn every_sentence_is_still_said_somewhere() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut said = String::new();
        let mut open = vec![root];
        while let Some(folder) = open.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    open.push(path);
                } else if !path.ends_with("notification/reasons.rs") {
                    // Sentences are broken into lines by a backslash.
                    let text = std::fs::read_to_string(path).unwrap();
                    let joined: Vec<&str> = text.split("\\\n").map(str::trim_start).collect();
                    said.push_str(&joined.concat());
                }
            }
        }
        for (english, _) in SENTENCES {
            // Two sentences may be put together from two places.
            let pieces = english.split("{}").flat_map(|piece| piece.split(". "));
            let pieces = pieces.flat_map(|piece| piece.split(" (`"));
            for piece in pieces.filter(|piece| piece.len() > 12) {
                // Counts are put before their words.
                let piece = piece.strip_prefix(" files ").unwrap_or(piece).replace('"', "\\\"");
                assert!(said.contains(&piece), "nobody says {piece:?} any more");
            }
        }
    }
}
