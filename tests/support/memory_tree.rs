//! A tree in memory, in the place of an index: for tests and benchmarks of the
//! rooms that only know [`TreeView`] and [`DirectorySink`]. Whoever includes this
//! file has `model` in scope: the crate's own, from inside or outside.

use super::model::{
    Directory, DirectoryFlags, DirectoryPointer, DirectorySink, EntryKind, NodeDigest, NodeOffset,
    ReadNodeError, Totals, TreeView, WriteNodeError,
};
use std::sync::{PoisonError, RwLock};

/// Directories in a list; an offset is a place in it.
#[derive(Debug, Default)]
pub struct MemoryTree {
    nodes: RwLock<Vec<(Directory, Totals, NodeDigest)>>,
    root: RwLock<Option<DirectoryPointer>>,
}

impl MemoryTree {
    /// Makes what `pointer` leads to the tree that is seen.
    pub fn set_root(&self, pointer: DirectoryPointer) {
        *self.root.write().unwrap_or_else(PoisonError::into_inner) = Some(pointer);
    }

    /// How many directories were ever written.
    pub fn nodes_written(&self) -> usize {
        self.nodes.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Makes a node unreadable.
    pub fn damage(&self, pointer: &DirectoryPointer) {
        self.nodes.write().unwrap_or_else(PoisonError::into_inner)[pointer.offset.0 as usize].2 =
            NodeDigest([0xff; 16]);
    }

    /// Changes a stored node in place, as nobody may: for bases that a test
    /// wants to begin with. The pointer stays good.
    pub fn edit(&self, pointer: &DirectoryPointer, change: impl FnOnce(&Directory) -> Directory) {
        let mut nodes = self.nodes.write().unwrap_or_else(PoisonError::into_inner);
        let node = &mut nodes[pointer.offset.0 as usize];
        node.0 = change(&node.0);
    }
}

/// The hash of everything that is in the node.
fn node_digest(directory: &Directory) -> NodeDigest {
    NodeDigest::of(format!("{:?}", (directory.attributes, directory.iter().collect::<Vec<_>>())).as_bytes())
}

impl TreeView for MemoryTree {
    fn root(&self) -> Option<DirectoryPointer> {
        *self.root.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn read_directory(
        &self,
        pointer: &DirectoryPointer,
        into: &mut Directory,
    ) -> Result<Totals, ReadNodeError> {
        let nodes = self.nodes.read().unwrap_or_else(PoisonError::into_inner);
        let damaged = |reason: &str| ReadNodeError {
            offset: pointer.offset.0,
            length: pointer.length,
            reason: reason.to_owned(),
        };
        let (directory, totals, digest) =
            nodes.get(pointer.offset.0 as usize).ok_or_else(|| damaged("no such node"))?;
        if *digest != pointer.node {
            return Err(damaged("another node"));
        }
        into.clear();
        into.attributes = directory.attributes;
        directory.iter().for_each(|entry| into.push(entry));
        Ok(*totals)
    }
}

impl DirectorySink for MemoryTree {
    fn write_directory(
        &self,
        directory: &Directory,
        below: Totals,
    ) -> Result<DirectoryPointer, WriteNodeError> {
        let digest = node_digest(directory);
        let content = directory.content_digest();
        let mut nodes = self.nodes.write().unwrap_or_else(PoisonError::into_inner);
        nodes.push((directory.clone(), below, digest));
        let offset = NodeOffset(nodes.len() as u64 - 1);
        Ok(DirectoryPointer { offset, length: 0, node: digest, content })
    }
}

/// Every entry below `pointer`, one a line, without anything that depends on
/// where nodes lie.
pub fn dump(tree: &dyn TreeView, pointer: DirectoryPointer) -> String {
    let mut lines = String::new();
    dump_below(tree, pointer, "", &mut lines);
    lines
}

fn dump_below(tree: &dyn TreeView, pointer: DirectoryPointer, path: &str, lines: &mut String) {
    use std::fmt::Write;
    let mut directory = Directory::default();
    let totals = tree.read_directory(&pointer, &mut directory).expect("the node was written before");
    let settled = directory.attributes.flags.contains(DirectoryFlags::SETTLED);
    writeln!(lines, "{path}/ {:?} {totals:?} settled={settled}", directory.attributes.permissions)
        .expect("memory");
    for entry in directory.iter() {
        let name = format!("{path}/{}", String::from_utf8_lossy(entry.name));
        match (entry.kind, entry.child()) {
            (EntryKind::Directory, Some(child)) => {
                writeln!(lines, "{name} Directory {:?}", entry.flags).expect("memory");
                dump_below(tree, child, &name, lines);
            }
            _ => writeln!(
                lines,
                "{name} {:?} {:?} {:?} {:?}",
                entry.kind, entry.flags, entry.stamp, entry.content
            )
            .expect("memory"),
        }
    }
}
