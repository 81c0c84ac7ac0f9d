//! Preparation of the parts of an address, so that equal addresses are equal bytes: the stringprep
//! profiles nodeprep and resourceprep (RFC 6122 appendices A, B) and nameprep (RFC 3491). What
//! labels and dots are is a matter of [`super::domain`].
//!
//! They are "queries" in the sense of RFC 3454 §7: code points that Unicode 3.2 did not have are
//! let through, or remote users with newer emoji in their nicks could not be talked to. What such a
//! code point normalises to is unknown to the old tables, so a part is prepared until it no longer
//! changes; one that never settles is refused.
//!
//! ASCII text, nearly all there is, takes a short way and is borrowed when it is prepared already.

use std::borrow::Cow;

use stringprep::tables;
use unicode_normalization::UnicodeNormalization;

use super::domain;
use super::jid::JidError;

/// Bytes of a prepared part (RFC 7622 §3.2–§3.4).
pub const PART_BYTES_MAX: usize = 1023;
/// Bytes of a part before preparation. No sane part shrinks to a quarter: four bytes to one is the
/// most that normalisation does, and only characters that are mapped to nothing could do more.
pub(super) const INPUT_BYTES_MAX: usize = 4 * PART_BYTES_MAX;
/// Rounds in which a part must settle.
const ROUNDS_MAX: usize = 4;

/// The three profiles of stringprep.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Profile {
    Node,
    Name,
    Resource,
}

/// Nodeprep (RFC 6122 appendix A).
pub fn prepare_local(text: &str) -> Result<String, JidError> {
    local(text).map(Cow::into_owned)
}

/// Nameprep for each label, one trailing dot stripped, A-labels turned to U-labels, IPv6 literals
/// in their shortest form (RFC 7622 §3.2).
pub fn prepare_domain(text: &str) -> Result<String, JidError> {
    domain::domain(text).map(Cow::into_owned)
}

/// Resourceprep (RFC 6122 appendix B).
pub fn prepare_resource(text: &str) -> Result<String, JidError> {
    resource(text).map(Cow::into_owned)
}

/// A nick: resourceprep, and something must be seen of it (advisory a20, XEP-0045 §17.1).
pub fn prepare_nick(text: &str) -> Result<String, JidError> {
    let nick = resource(text)?;
    if nick.chars().any(char::is_control) || nick.chars().all(is_blank) {
        return Err(JidError::Forbidden);
    }
    Ok(nick.into_owned())
}

/// The key by which nicks are in conflict: NFKC and case-folded (WIRE.md 38). It is for
/// comparing, never for showing.
pub fn nick_key(nick: &str) -> String {
    if nick.is_ascii() {
        return nick.to_ascii_lowercase();
    }
    let mut key: String = nick.nfkc().collect();
    for _ in 0..ROUNDS_MAX {
        // The folding of Unicode 3.2 knows `ß` and final sigma; lower case knows newer letters.
        let lower = key.chars().flat_map(char::to_lowercase);
        let next: String = lower.flat_map(tables::case_fold_for_nfkc).nfkc().collect();
        if next == key {
            break;
        }
        key = next;
    }
    key
}

pub(super) fn local(text: &str) -> Result<Cow<'_, str>, JidError> {
    if text.is_empty() {
        return Err(JidError::EmptyLocal);
    }
    if text.bytes().all(is_plain_local) {
        return bounded(Cow::Borrowed(text));
    }
    if text.is_ascii() {
        let lower = text.to_ascii_lowercase();
        let plain = lower.bytes().all(is_plain_local);
        return if plain { bounded(Cow::Owned(lower)) } else { Err(JidError::Forbidden) };
    }
    bounded(Cow::Owned(prepare(text, Profile::Node, JidError::EmptyLocal)?))
}

pub(super) fn resource(text: &str) -> Result<Cow<'_, str>, JidError> {
    if text.is_empty() {
        return Err(JidError::EmptyResource);
    }
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return bounded(Cow::Borrowed(text));
    }
    bounded(Cow::Owned(prepare(text, Profile::Resource, JidError::EmptyResource)?))
}

/// A byte that nodeprep leaves as it is.
fn is_plain_local(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~')
        && !byte.is_ascii_uppercase()
        && !is_forbidden_in_local(char::from(byte))
}

/// RFC 6122 appendix A.5.
fn is_forbidden_in_local(c: char) -> bool {
    matches!(c, '"' | '&' | '\'' | '/' | ':' | '<' | '>' | '@')
}

/// White space, and characters that are drawn as nothing though they are letters or symbols.
fn is_blank(c: char) -> bool {
    c.is_whitespace()
        || matches!(c, '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}' | '\u{2800}' | '\u{3164}')
}

pub(super) fn bounded(part: Cow<'_, str>) -> Result<Cow<'_, str>, JidError> {
    if part.len() > PART_BYTES_MAX { Err(JidError::TooLong) } else { Ok(part) }
}

/// Stringprep (RFC 3454) until nothing changes; `empty` is the error when nothing is left.
pub(super) fn prepare(text: &str, profile: Profile, empty: JidError) -> Result<String, JidError> {
    if text.len() > INPUT_BYTES_MAX {
        return Err(JidError::TooLong);
    }
    let mut prepared = map(text, profile);
    let mut settled = false;
    for _ in 0..ROUNDS_MAX {
        let next = map(&prepared, profile);
        settled = next == prepared;
        if settled {
            break;
        }
        prepared = next;
    }
    if prepared.is_empty() {
        return Err(empty);
    }
    let forbidden = |c| is_forbidden(c, profile);
    if !settled || prepared.contains(forbidden) || !is_bidi_sound(&prepared) {
        return Err(JidError::Forbidden);
    }
    Ok(prepared)
}

/// Mapping and normalisation (RFC 3454 §3, §4).
fn map(text: &str, profile: Profile) -> String {
    let kept = text.chars().filter(|&c| !tables::commonly_mapped_to_nothing(c));
    match profile {
        Profile::Resource => kept.nfkc().collect(),
        Profile::Node | Profile::Name => kept.flat_map(tables::case_fold_for_nfkc).nfkc().collect(),
    }
}

/// Prohibited output (RFC 3454 §5, with the lists of each profile).
fn is_forbidden(c: char, profile: Profile) -> bool {
    let of_profile = match profile {
        Profile::Node => c == ' ' || tables::ascii_control_character(c) || is_forbidden_in_local(c),
        // The rule of STD 3 stands elsewhere; here what remains of ASCII.
        Profile::Name => c == ' ' || tables::ascii_control_character(c),
        Profile::Resource => tables::ascii_control_character(c),
    };
    of_profile
        || tables::non_ascii_space_character(c)
        || tables::non_ascii_control_character(c)
        || tables::private_use(c)
        || tables::non_character_code_point(c)
        || tables::inappropriate_for_plain_text(c)
        || tables::inappropriate_for_canonical_representation(c)
        || tables::change_display_properties_or_deprecated(c)
        || tables::tagging_character(c)
}

/// RFC 3454 §6: text with right-to-left letters has no left-to-right ones, and begins and ends
/// with one of its own.
fn is_bidi_sound(text: &str) -> bool {
    if !text.contains(tables::bidi_r_or_al) {
        return true;
    }
    text.starts_with(tables::bidi_r_or_al)
        && text.ends_with(tables::bidi_r_or_al)
        && !text.contains(tables::bidi_l)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Checks a table, and that what is prepared stays as it is.
    #[track_caller]
    pub(in super::super) fn check(
        prepare: fn(&str) -> Result<String, JidError>,
        table: &[(&str, Result<&str, JidError>)],
    ) {
        for &(text, want) in table {
            let got = prepare(text);
            assert_eq!(got.as_deref(), want.as_ref().map(|s| *s), "{text:?}");
            if let Ok(prepared) = got {
                assert_eq!(prepare(&prepared).as_ref(), Ok(&prepared), "{text:?} settles");
            }
        }
    }

    #[test]
    fn locals() {
        use JidError::{EmptyLocal, Forbidden, TooLong};
        let (longest, long) = ("a".repeat(1023), "a".repeat(1024));
        let (wide, endless) = ("Ａ".repeat(1023), "\u{AD}".repeat(3000));
        check(
            prepare_local,
            &[
                ("romeo", Ok("romeo")),
                ("RoMeO", Ok("romeo")),
                ("a.b-c_d+e!#$%*=?^`{|}~()[];,\\", Ok("a.b-c_d+e!#$%*=?^`{|}~()[];,\\")),
                ("", Err(EmptyLocal)),
                ("\u{AD}", Err(EmptyLocal)),
                ("a b", Err(Forbidden)),
                ("a\u{A0}b", Err(Forbidden)),
                ("a\"b", Err(Forbidden)),
                ("a&b", Err(Forbidden)),
                ("a'b", Err(Forbidden)),
                ("a/b", Err(Forbidden)),
                ("a:b", Err(Forbidden)),
                ("a<b", Err(Forbidden)),
                ("a>b", Err(Forbidden)),
                ("a@b", Err(Forbidden)),
                ("a\0b", Err(Forbidden)),
                ("a\u{7F}b", Err(Forbidden)),
                ("a\u{85}b", Err(Forbidden)),
                // What becomes forbidden by normalisation is forbidden: fullwidth `@`, `&`, `/`.
                ("a\u{FF20}b", Err(Forbidden)),
                ("a\u{FF06}b", Err(Forbidden)),
                ("a\u{2100}b", Err(Forbidden)),
                ("a\u{E000}", Err(Forbidden)),
                ("a\u{FFFD}", Err(Forbidden)),
                ("a\u{202E}b", Err(Forbidden)),
                ("fußball", Ok("fussball")),
                ("Éé", Ok("éé")),
                ("e\u{301}", Ok("é")),
                ("Ａ", Ok("a")),
                ("ΣΑΣ", Ok("σασ")),
                ("İ", Ok("i\u{307}")),
                // Squared letters are newer than the folding table: only a second round folds them.
                ("\u{1F130}", Ok("a")),
                ("ж😀", Ok("ж😀")),
                ("🫠", Ok("🫠")),
                // RFC 3454 §6.
                ("אב", Ok("אב")),
                ("א1ב", Ok("א1ב")),
                ("א1", Err(Forbidden)),
                ("1א", Err(Forbidden)),
                ("אaב", Err(Forbidden)),
                (&longest, Ok(&longest)),
                (&long, Err(TooLong)),
                (&wide, Ok(&longest)),
                (&endless, Err(TooLong)),
            ],
        );
    }

    #[test]
    fn resources() {
        use JidError::{EmptyResource, Forbidden, TooLong};
        let (longest, long) = ("é".repeat(511), "é".repeat(512));
        check(
            prepare_resource,
            &[
                ("Home / @ <&>'\":", Ok("Home / @ <&>'\":")),
                (" ", Ok(" ")),
                ("", Err(EmptyResource)),
                ("\u{200D}", Err(EmptyResource)),
                ("a\nb", Err(Forbidden)),
                ("a\u{7F}", Err(Forbidden)),
                ("a\u{A0}b", Ok("a b")),
                ("a\u{1680}b", Err(Forbidden)),
                ("Ａ", Ok("A")),
                ("É", Ok("É")),
                ("e\u{301}", Ok("é")),
                ("😀🫠🧑\u{200D}🚀", Ok("😀🫠🧑🚀")),
                ("❤\u{FE0F}", Ok("❤")),
                ("a\u{E0041}", Err(Forbidden)),
                ("a\u{2028}", Err(Forbidden)),
                (&longest, Ok(&longest)),
                (&long, Err(TooLong)),
            ],
        );
    }

    #[test]
    fn advisory_a20_nicks() {
        use JidError::{EmptyResource, Forbidden};
        check(
            prepare_nick,
            &[
                ("Thirdwitch", Ok("Thirdwitch")),
                (" a ", Ok(" a ")),
                ("🫠", Ok("🫠")),
                ("", Err(EmptyResource)),
                (" ", Err(Forbidden)),
                ("\u{A0}\u{2003} ", Err(Forbidden)),
                ("\u{3164}", Err(Forbidden)),
                ("\u{2800}", Err(Forbidden)),
                ("\t", Err(Forbidden)),
                ("a\u{1}", Err(Forbidden)),
                ("a\u{80}", Err(Forbidden)),
            ],
        );
        let same = [
            ("Alice", "aLICE"),
            ("Ａlice", "alice"),
            ("ALIÇE", "alic\u{327}e"),
            ("STRASSE", "straße"),
            ("STRAẞE", "strasse"),
            ("ΟΔΟΣ", "οδος"),
            ("ﬁ", "FI"),
            ("\u{1F130}", "a"),
            ("Ⱡ", "ⱡ"),
            ("🫠", "🫠"),
        ];
        for (one, other) in same {
            assert_eq!(nick_key(one), nick_key(other), "{one} {other}");
            assert_eq!(nick_key(&nick_key(one)), nick_key(one));
        }
        assert_ne!(nick_key("alice"), nick_key("alicе"), "Cyrillic, and left alone");
        assert_ne!(nick_key("a b"), nick_key("ab"));
    }
}
