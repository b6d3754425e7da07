//! The brain, pure: session tracking, journal, replay and the classification of losses.
