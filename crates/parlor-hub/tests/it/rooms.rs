//! Small stories, told one verb at a time.
