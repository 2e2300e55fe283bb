//! The one place where Nova Recovery runs external programs.
