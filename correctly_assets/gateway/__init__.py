"""What every chat client talks to: an OpenAI-compatible face over the correction path.

Belongs here: HTTP shapes, following the newest release, the journal's writer, keys and limits, metrics. Does not belong
here: how a text is corrected (correction/), how rows are checked (curation/), SQL (store/). As a top layer it may
import them, and joins them in joins.py.
"""
