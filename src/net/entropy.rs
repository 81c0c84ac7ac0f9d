//! Chance from the operating system.

use ring::rand::{SecureRandom, SystemRandom};

use crate::cx::Entropy;

/// The generator of the operating system.
pub struct SystemEntropy {
    random: SystemRandom,
}

impl SystemEntropy {
    /// The generator of the operating system.
    pub fn new() -> Self {
        Self { random: SystemRandom::new() }
    }
}

impl Default for SystemEntropy {
    fn default() -> Self {
        Self::new()
    }
}

impl Entropy for SystemEntropy {
    fn fill(&mut self, bytes: &mut [u8]) {
        self.random.fill(bytes).expect("a system without random bytes cannot serve anybody safely");
    }
}
