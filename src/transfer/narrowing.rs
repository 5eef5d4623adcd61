//! A look at many paths of which the remote refuses to show some.
//!
//! rclone ends such a look at the first refusal and does not say at which path it was. One path must
//! not stop all others for ever, and a remote that refuses everything must not be asked for
//! each of them: so what was refused is asked again in halves, but only while the remote answers elsewhere.

use crate::model::{Failure, FailureClass, TreePath};
use crate::transfer::classify::{is_refusal, shortened};
use crate::transfer::looks::{Group, Place, halves};
use crate::transfer::{Session, Transfer};

/// What a look came to at one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sight {
    /// Nothing. **No proof**: OpenList answers every error so.
    Nothing,
    /// A file of so many bytes; 0 when the remote does not know it.
    File(u64),
    /// The remote answers with an error, in these words, and answers elsewhere: nothing is known of this path.
    Refused(String),
}

impl Sight {
    /// The remote shows it.
    pub fn is_shown(&self) -> bool {
        matches!(self, Sight::File(_))
    }

    /// It is there, or that can't be told.
    pub fn may_be_there(&self) -> bool {
        *self != Sight::Nothing
    }
}

/// So many refused paths of one look are found one by one: some eight processes each. Beyond them
/// all that was refused together counts as refused.
const REFUSED_MAX: usize = 10;
/// So many of a list that was refused are asked one by one before it is taken in halves.
const ASKED_FIRST: usize = 3;

/// The sizes of what is shown of a list; or some or all of it is refused.
type Answer = Result<Vec<(usize, u64)>, Failure>;

impl Transfer<'_> {
    /// As [`Transfer::look`], where the remote may refuse single paths.
    ///
    /// # Errors
    /// When the remote cannot be asked, refuses everything, or a name cannot be written.
    pub fn look_past_refusals(
        &self,
        place: Place,
        paths: &[(TreePath, bool)],
    ) -> Result<Vec<Sight>, Failure> {
        let folder = self.remote_of(place);
        let mut sights = vec![Sight::Nothing; paths.len()];
        let mut groups = self.groups(paths)?;
        let (mut refused, mut is_trusted) = (0, false);
        while let Some(group) = groups.pop() {
            let failure = match self.look_at_group(&folder, &group)? {
                Ok(sizes) => {
                    sizes.into_iter().for_each(|(index, size)| sights[index] = Sight::File(size));
                    continue;
                }
                Err(failure) => failure,
            };
            let is_first = !std::mem::replace(&mut is_trusted, true);
            let is_rule = is_first && self.is_rule(place, &group, &failure)?;
            if is_first && group.len() == 1 {
                // What was said to all may have ended by now.
                groups.push(group);
            } else if group.len() == 1 || is_rule || refused >= REFUSED_MAX {
                refused += 1;
                for &(index, _) in group.values() {
                    sights[index] = Sight::Refused(failure.reason.clone());
                }
            } else {
                groups.extend(halves(group));
            }
        }
        Ok(sights)
    }

    /// What `look` finds; `Err` within: the remote refuses this one path, as it says twice, and answers elsewhere.
    ///
    /// # Errors
    /// When the remote cannot be asked, or refuses everything.
    pub fn past_refusal<T>(
        &self,
        look: impl Fn(&Self) -> Result<T, Failure>,
    ) -> Result<Result<T, String>, Failure> {
        let failure = match look(self) {
            Err(failure) if is_refusal(&failure) => failure,
            looked => return looked.map(Ok),
        };
        self.session.must_answer(&self.remotes.companion, &failure)?;
        match look(self) {
            Err(failure) if is_refusal(&failure) => Ok(Err(failure.reason)),
            looked => looked.map(Ok),
        }
    }

    /// One small request, to hear whether the remote answers.
    ///
    /// # Errors
    /// When it does not.
    pub fn knock(&self) -> Result<(), Failure> {
        self.session.list_folder(&self.remotes.companion).map(|_| ())
    }

    fn look_at_group(&self, folder: &str, group: &Group) -> Result<Answer, Failure> {
        let finished = self.list_group(folder, group)?;
        // Below a file nothing lies; but a local folder says so of the whole list.
        if finished.says_absent() || (group.len() == 1 && finished.says_no_folder()) {
            return Ok(Ok(Vec::new()));
        }
        if finished.succeeded() {
            return self.sizes_of(&finished, group).map(Ok);
        }
        let failure = finished.failure("looking at single files");
        if is_refusal(&failure) || finished.says_no_folder() { Ok(Err(failure)) } else { Err(failure) }
    }

    /// The first refusal of a look: the remote must answer elsewhere. True when it refuses whatever is
    /// asked for of this list, and not the folder in which it all lies.
    fn is_rule(&self, place: Place, group: &Group, failure: &Failure) -> Result<bool, Failure> {
        self.session.must_answer(&self.remotes.companion, failure)?;
        if group.len() <= ASKED_FIRST {
            return Ok(false);
        }
        let folder = self.remote_of(place);
        for (name, member) in group.iter().take(ASKED_FIRST) {
            let alone = Group::from([(name.clone(), member.clone())]);
            if self.look_at_group(&folder, &alone)?.is_ok() {
                return Ok(false);
            }
        }
        self.session.must_answer(&folder, failure)?;
        Ok(true)
    }
}

impl Session<'_> {
    /// Asks for a folder that nobody may have a reason to refuse.
    ///
    /// # Errors
    /// `failure` when that is refused, too: then it is not about single paths. Another one when we are not let in.
    fn must_answer(&self, folder: &str, failure: &Failure) -> Result<(), Failure> {
        match self.list_folder(folder) {
            Ok(_) => Ok(()),
            Err(other) if other.class == FailureClass::Authentication => Err(other),
            Err(other) => {
                let reason = shortened(&format!(
                    "{}; nor does it answer elsewhere ({})",
                    failure.reason, other.reason
                ));
                Err(Failure { class: other.class, reason })
            }
        }
    }
}
