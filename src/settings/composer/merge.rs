//! Entries of several files and ConfigMaps become one index.

use crate::manifest::Problem;
use crate::settings::index_file::IndexFile;
use emissary_core::image::{ImageIndex, IndexProblem};

/// More would only bury the first.
const MOST_DUPLICATES: usize = 20;

/// Merges entries in their order; what an earlier one has stays. Returns also which later ones do not count.
pub(in crate::settings) fn merge<'a, W>(
    files: impl IntoIterator<Item = (W, &'a IndexFile)>,
) -> (ImageIndex, Vec<(W, Problem)>)
where
    W: Copy,
{
    let (mut merged, mut places, mut problems) = (ImageIndex::default(), Vec::new(), Vec::new());
    for (whose, file) in files {
        for (hit, place) in file.index.iter().zip(&file.places) {
            match merged.insert(hit.key, hit.entry.clone()) {
                Ok(()) => places.push(place.clone()),
                Err(_) if problems.len() >= MOST_DUPLICATES => {}
                Err(problem) => {
                    let IndexProblem::Duplicate { earlier, .. } = &problem else { continue };
                    let first = merged.iter().zip(&places).find(|(hit, _)| hit.key == earlier);
                    let first = first.map(|(_, place)| format!(" (the first, {place}, counts)")).unwrap_or_default();
                    problems.push((whose, Problem::new(place.clone(), format!("{problem}{first}"))));
                }
            }
        }
    }
    (merged, problems)
}
