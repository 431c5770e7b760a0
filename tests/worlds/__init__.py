"""The made-up businesses, projects and clones that tests share."""
