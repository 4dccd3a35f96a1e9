//! Records as screens and documents. Pure: text comes out, nothing is printed here.

pub mod conflicts;
pub mod doctor;
mod fold;
pub mod live;
mod logs;
mod paint;
mod publish;
pub mod report;
mod screen;
mod sections;
pub mod status;
mod summary;
pub mod table;

pub use paint::{Meaning, Style};
pub use screen::{json, run};
