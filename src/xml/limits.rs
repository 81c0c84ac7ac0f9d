//! What a stream parser refuses to exceed, and the ceilings that no setting raises.

/// Depth that no setting raises: dropping and writing an element recurse.
pub const DEPTH_CEILING: usize = 256;
/// Attributes of one element that no setting raises.
pub const ATTRIBUTES_CEILING: usize = 1024;
/// Charged namespace bytes of one stanza: this, and [`NAMESPACE_FACTOR`] times its byte limit.
const NAMESPACE_BYTES_BASE: usize = 64 * 1024;
/// See [`NAMESPACE_BYTES_BASE`]. What a stanza declares itself it also pays for in its own bytes.
const NAMESPACE_FACTOR: usize = 2;
/// The byte limit that the namespace charge assumes at most.
const STANZA_BYTES_ASSUMED: usize = 512 * 1024;

/// What a stream parser refuses to exceed. Zero means no limit of its own: depth and attributes
/// then have [`DEPTH_CEILING`] and [`ATTRIBUTES_CEILING`], which hold in any case.
#[derive(Clone, Copy, Debug)]
pub struct XmlLimits {
    /// Bytes of one stanza, or of the stream header, from its `<` to its last `>`.
    pub stanza_bytes_max: usize,
    /// Depth of elements inside a stanza, the stanza itself counted.
    pub depth_max: usize,
    /// Attributes of one element, namespace declarations included.
    pub attributes_max: usize,
    /// Nodes (elements, texts, attributes) of one stanza.
    pub nodes_max: usize,
}

impl XmlLimits {
    /// The same with zeros resolved and the ceilings applied.
    pub(super) fn effective(self) -> Self {
        let or = |limit: usize, ceiling| if limit == 0 { ceiling } else { limit.min(ceiling) };
        Self {
            stanza_bytes_max: or(self.stanza_bytes_max, usize::MAX),
            depth_max: or(self.depth_max, DEPTH_CEILING),
            attributes_max: or(self.attributes_max, ATTRIBUTES_CEILING),
            nodes_max: or(self.nodes_max, usize::MAX),
        }
    }

    /// What may be charged for namespaces in one stanza; `self` is effective.
    pub(super) fn namespace_bytes_max(self) -> usize {
        NAMESPACE_BYTES_BASE + NAMESPACE_FACTOR * self.stanza_bytes_max.min(STANZA_BYTES_ASSUMED)
    }
}
