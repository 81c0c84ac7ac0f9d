//! Data forms (XEP-0004): reading a submitted one, building one. (Owned by the muc work package.)
