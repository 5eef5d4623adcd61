//! Rewriting against the naive model, and what it shares.

use super::*;
use treeferry::index::{RewriteError, rewrite};
use treeferry::observe::Counter;

fn any_edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        3 => (any_path(), any_entry()).prop_map(|(path, entry)| Edit::Put { path, entry }),
        3 => any_path().prop_map(|path| Edit::Remove { path }),
        2 => (any_path(), any_attributes()).prop_map(|(path, attributes)| Edit::Directory { path, attributes }),
        1 => any_path().prop_map(|path| Edit::Unconfirmed { path }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_rewritten_tree_is_the_model_with_the_same_edits(
        mut model in any_model(),
        rounds in prop::collection::vec(prop::collection::vec(any_edit(), 0..12), 1..4),
    ) {
        let shelf = Shelf::new();
        let mut root = write_model(&model, &shelf.file.writer(&Silent));
        for mut edits in rounds {
            edits.sort_by(|a, b| a.path().cmp(b.path()));
            for edit in &edits {
                apply(&mut model, edit);
            }
            root = shelf.rewrite(root, edits);
            prop_assert_eq!(&read_model(&shelf.tree(root)), &model);
        }
        let afresh = Shelf::new();
        let plain = write_model(&model, &afresh.file.writer(&Silent)).unwrap();
        let root = root.unwrap();
        prop_assert_eq!(plain.pointer.content, root.pointer.content, "C does not depend on history");
        prop_assert_eq!(plain.totals, root.totals);
    }

    #[test]
    fn edits_that_say_what_is_known_write_nothing(model in any_model()) {
        let shelf = Shelf::new();
        let root = write_model(&model, &shelf.file.writer(&Silent));
        let edits = model.iter().map(|(path, held)| match held.clone() {
            Held::Directory(attributes) => Edit::Directory { path: path.clone(), attributes },
            Held::Other(entry) => Edit::Put { path: path.clone(), entry },
        });
        let recorder = Recorder::default();
        let length = shelf.file.length();
        prop_assert_eq!(shelf.rewrite_counted(root, edits.collect(), &recorder), root);
        prop_assert_eq!(recorder.counted(Counter::NodesWritten), 0);
        prop_assert_eq!(shelf.file.length(), length);
    }
}

/// 1,000 directories in a tree of 10 × 10 × 10, ten files each.
fn thousand(shelf: &Shelf) -> Option<Root> {
    let mut edits = Vec::new();
    for directory in 0..1000 {
        let (a, b, c) = (directory / 100, directory / 10 % 10, directory % 10);
        for name in 0..10 {
            edits.push(Edit::Put { path: path(format!("{a}/{b}/{c}/{name}")), entry: file(name, 1) });
        }
    }
    shelf.rewrite(None, edits)
}

#[test]
fn one_edit_reads_and_writes_only_its_ancestors() {
    let shelf = Shelf::new();
    let root = thousand(&shelf);
    assert_eq!(root.unwrap().totals, Totals { files: 10_000, directories: 1110, bytes: 10_000 });
    let recorder = Recorder::default();
    let changed =
        shelf.rewrite_counted(root, vec![Edit::Put { path: path("3/4/5/6"), entry: file(99, 7) }], &recorder);
    assert_eq!(recorder.counted(Counter::NodesWritten), 4);
    assert!(recorder.counted(Counter::NodesRead) <= 4, "{}", recorder.counted(Counter::NodesRead));
    assert_eq!(changed.unwrap().totals, Totals { files: 10_000, directories: 1110, bytes: 10_006 });

    let (mut before, mut after) = (Directory::default(), Directory::default());
    shelf.tree(root).read_directory(&root.unwrap().pointer, &mut before).unwrap();
    shelf.tree(changed).read_directory(&changed.unwrap().pointer, &mut after).unwrap();
    for (old, new) in before.iter().zip(after.iter()) {
        assert_eq!(old.content == new.content, old.name != b"3", "{:?}", old.name);
    }
}

#[test]
fn removing_a_directory_reads_it_once_and_not_below() {
    let shelf = Shelf::new();
    let root = thousand(&shelf);
    let recorder = Recorder::default();
    let edits = vec![Edit::Remove { path: path("3") }, Edit::Remove { path: path("4/4/no/such") }];
    let changed = shelf.rewrite_counted(root, edits, &recorder);
    assert_eq!(changed.unwrap().totals, Totals { files: 9000, directories: 999, bytes: 9000 });
    assert_eq!(recorder.counted(Counter::NodesWritten), 1);
    assert_eq!(recorder.counted(Counter::NodesRead), 4);
}

#[test]
fn the_last_name_removed_leaves_an_empty_directory() {
    let shelf = Shelf::new();
    let root = shelf.rewrite(None, vec![Edit::Put { path: path("a/b"), entry: file(1, 1) }]);
    let emptied = shelf.rewrite(root, vec![Edit::Remove { path: path("a/b") }]);
    assert_eq!(emptied.unwrap().totals, Totals { files: 0, directories: 1, bytes: 0 });
    let gone = shelf.rewrite(emptied, vec![Edit::Remove { path: TreePath::root() }]);
    assert_eq!(gone, None);
    assert_eq!(shelf.rewrite(None, vec![Edit::Remove { path: path("a") }]), None);
}

#[test]
fn a_touched_attribute_moves_no_content_hash() {
    let shelf = Shelf::new();
    let root = thousand(&shelf);
    let attributes = DirectoryAttributes { inode: 9, ..DirectoryAttributes::default() };
    let touched = shelf.rewrite(root, vec![Edit::Directory { path: path("1/1/1"), attributes }]);
    assert_ne!(touched, root);
    assert_eq!(touched.unwrap().pointer.content, root.unwrap().pointer.content);
}

#[test]
fn edits_out_of_order_and_errors_of_their_source_are_reported() {
    let shelf = Shelf::new();
    let tree = shelf.tree(None);
    let remove = |name: &str| Ok::<_, String>(Edit::Remove { path: path(name) });
    let writer = shelf.file.writer(&Silent);
    let result = rewrite(&tree, [remove("b"), remove("a")], &writer);
    assert!(matches!(result, Err(RewriteError::Unsorted { .. })), "{result:?}");
    let result = rewrite(&tree, [Err("torn".to_owned())], &writer);
    assert!(matches!(result, Err(RewriteError::Edits(_))), "{result:?}");
    let root = Edit::Put { path: TreePath::root(), entry: file(1, 1) };
    let result = rewrite(&tree, [Ok::<_, String>(root)], &writer);
    assert!(matches!(result, Err(RewriteError::RootIsADirectory)), "{result:?}");
}

#[test]
fn what_is_unconfirmed_unsettles_the_nearest_known_directory_around_it() {
    let settled = DirectoryAttributes { flags: DirectoryFlags::SETTLED, ..DirectoryAttributes::default() };
    let directory = |name: &str| Edit::Directory { path: path(name), attributes: settled };
    let shelf = Shelf::new();
    let before = vec![
        directory(""),
        directory("a"),
        directory("a/b"),
        Edit::Put { path: path("a/b/f"), entry: file(1, 1) },
    ];
    let root = shelf.rewrite(None, before);
    for (unconfirmed, unsettled) in [
        ("", ""),
        ("f", ""),
        ("a", ""),
        ("a/b", "a"),
        ("a/b/f", "a/b"),
        ("a/b/gone", "a/b"),
        ("a/b/gone/below", "a/b"),
        ("a/b/f/below", "a/b"),
        ("new/below", ""),
    ] {
        // The same with an edit before it that has opened the directory of that very name.
        let mention = Edit::Unconfirmed { path: path(unconfirmed) };
        let mut rounds = vec![vec![mention.clone()]];
        if ["", "a", "a/b"].contains(&unconfirmed) {
            rounds.push(vec![directory(unconfirmed), mention]);
        }
        for edits in rounds {
            let model = read_model(&shelf.tree(shelf.rewrite(root, edits.clone())));
            let lost: Vec<String> = model
                .iter()
                .filter(|(_, held)| matches!(held, Held::Directory(attributes) if attributes.flags == DirectoryFlags::NONE))
                .map(|(path, _)| path.to_string())
                .collect();
            assert_eq!(lost, [path(unsettled).to_string()], "{edits:?}");
        }
    }
}
