"""The public pages, which are status pages for customers or for everyone: [pages.NAME].

Content, rendering and delivery are separate from `status`, so that nothing internal can appear on them by mistake:
`build` makes a `PublicContent` of public values only, and everything else reads that.
"""
