//! Cards (XEP-0054) as values: what is wanted of one that is to be kept, the pictures on it and
//! their hashes (XEP-0153). Whose card it is, who may set it and where it is kept is not here.

use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

use super::{Condition, StanzaError, base64, hex, ns};
use crate::xml::writer::write_element;
use crate::xml::{Element, Node};

/// Pictures of one card: several are one image in several formats (XEP-0486 §5.1).
pub const PHOTOS_MAX: usize = 8;

/// A picture of a card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Its content type, as `<TYPE/>` claims it; may be empty.
    pub kind: String,
    /// The picture itself.
    pub image: Vec<u8>,
}

/// A card that may be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// Its pictures.
    pub pictures: Vec<Picture>,
    /// The serialised `<vCard/>`, in the namespace of stanzas.
    pub xml: String,
}

/// SHA-1 in hexadecimal, as avatars are named by it (XEP-0084 §4.2.1, XEP-0153 §3.1).
pub fn sha1_hex(bytes: &[u8]) -> String {
    hex::encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes).as_ref())
}

/// The Base64 of a picture, whose lines may be broken anywhere (XEP-0084 §4.1, XEP-0153 §4.6).
pub fn decode_image(text: &str) -> Option<Vec<u8>> {
    let digits: String = text.split_ascii_whitespace().collect();
    base64::decode(&digits)
}

impl Picture {
    /// Its hash.
    pub fn sha1(&self) -> String {
        sha1_hex(&self.image)
    }

    /// Its content type: as it is claimed, or as it looks like (XEP-0153 §5).
    pub fn content_type(&self) -> &str {
        match &*self.image {
            _ if self.kind.starts_with("image/") => &self.kind,
            [0xFF, 0xD8, 0xFF, ..] => "image/jpeg",
            [b'G', b'I', b'F', b'8', ..] => "image/gif",
            _ => "image/png",
        }
    }

    /// `<PHOTO/>`
    pub fn to_element(&self) -> Element {
        let text = |name, text: String| Element::new(name, ns::VCARD_TEMP).with_text(text);
        let kind = Some(&self.kind).filter(|kind| !kind.is_empty());
        Element::new("PHOTO", ns::VCARD_TEMP)
            .with_child_opt(kind.map(|kind| text("TYPE", kind.clone())))
            .with_child(text("BINVAL", base64::encode(&self.image)))
    }
}

impl Card {
    /// Reads a card that is to be set, of `bytes_max` at most (0: any size); `None` for an empty
    /// one, which removes the card that is there.
    pub fn read(vcard: &Element, bytes_max: usize) -> Result<Option<Self>, StanzaError> {
        if vcard.elements().next().is_none() {
            return Ok(None);
        }
        let pictures = pictures(vcard)?;
        if pictures.len() > PHOTOS_MAX {
            let error = StanzaError::new(Condition::NotAcceptable);
            return Err(error.with_text("too many pictures"));
        }
        let mut xml = Vec::new();
        write_element(&mut xml, vcard, ns::CLIENT);
        if bytes_max > 0 && xml.len() > bytes_max {
            let error = StanzaError::new(Condition::PolicyViolation);
            return Err(error.with_text("the card is too large"));
        }
        let xml = String::from_utf8(xml).expect("names and texts are UTF-8");
        Ok(Some(Self { pictures, xml }))
    }

    /// The hashes of its pictures.
    pub fn hashes(&self) -> Vec<String> {
        self.pictures.iter().map(Picture::sha1).collect()
    }
}

/// The pictures on a card that say something.
fn pictures(vcard: &Element) -> Result<Vec<Picture>, StanzaError> {
    let mut pictures = Vec::new();
    for photo in vcard.elements().filter(|element| element.is("PHOTO", ns::VCARD_TEMP)) {
        let Some(binval) = photo.child("BINVAL", ns::VCARD_TEMP) else { continue };
        let image = decode_image(&binval.text()).ok_or_else(|| {
            StanzaError::new(Condition::BadRequest).with_text("the picture is not Base64")
        })?;
        if !image.is_empty() {
            let kind = photo.child("TYPE", ns::VCARD_TEMP).map(Element::text);
            let kind = kind.unwrap_or_default().trim().to_owned();
            pictures.push(Picture { kind, image });
        }
    }
    Ok(pictures)
}

/// The same card with this picture in the place of all others, or without any.
pub fn with_picture(mut vcard: Element, picture: Option<&Picture>) -> Element {
    let is_photo =
        |node: &Node| matches!(node, Node::Element(child) if child.is("PHOTO", ns::VCARD_TEMP));
    vcard.children.retain(|node| !is_photo(node));
    vcard.with_child_opt(picture.map(Picture::to_element))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SVG: &str = "PHN2ZyB4bWxucz0iaHR0cDovL3d3dy53My5vcmcvMjAwMC9zdmciIHdpZHRoPSI\
                       zMiIgaGVpZ2h0\n\tPSIzMiI+CiA8cmVjdCB4PSIwIiB5PSIwIiB3aWR0aD0iMzIi\
                       IGhlaWdodD0iMzIiIGZpbGw9In\r\nJlZCIvPgo8L3N2Zz4K";
    /// XEP-0486 §3.3
    const SVG_SHA1: &str = "a31c4bd04de69663cfd7f424a8453f4674da37ff";

    fn vcard(pictures: &[&str]) -> Element {
        pictures.iter().fold(Element::new("vCard", ns::VCARD_TEMP), |vcard, text| {
            let binval = Element::new("BINVAL", ns::VCARD_TEMP).with_text(*text);
            vcard.with_child(Element::new("PHOTO", ns::VCARD_TEMP).with_child(binval))
        })
    }

    #[test]
    fn cards() {
        let hashes = |pictures: &[&str]| {
            let card = Card::read(&vcard(pictures), 1000).map_err(|error| error.condition)?;
            Ok::<_, Condition>(card.map(|card| card.hashes()))
        };
        assert_eq!(hashes(&[]), Ok(None));
        let of_svg = SVG_SHA1.to_owned();
        assert_eq!(hashes(&[SVG]), Ok(Some(vec![of_svg.clone()])));
        let both = hashes(&["AA==", SVG]);
        assert_eq!(both.map(|hashes| hashes.map(|all| all[1].clone())), Ok(Some(of_svg)));
        assert_eq!(hashes(&[" \n"]), Ok(Some(vec![])));
        assert_eq!(hashes(&["AA=A"]), Err(Condition::BadRequest));
        assert_eq!(hashes(&["not an image"]), Err(Condition::BadRequest));
        assert_eq!(hashes(&["AA=="; PHOTOS_MAX + 1]), Err(Condition::NotAcceptable));
        assert_eq!(hashes(&[&"AAAA".repeat(250)]), Err(Condition::PolicyViolation));
    }

    #[test]
    fn one_picture_takes_the_place_of_all() {
        let name = Element::new("FN", ns::VCARD_TEMP).with_text("Romeo");
        let card = vcard(&["AA==", SVG]).with_child(name.clone());
        assert_eq!(with_picture(card.clone(), None), vcard(&[]).with_child(name));
        let picture = Picture { kind: "image/png".to_owned(), image: b"png".to_vec() };
        let read = Card::read(&with_picture(card, Some(&picture)), 0);
        assert_eq!(read.ok().flatten().map(|card| card.pictures), Some(vec![picture]));
    }
}
