"""Runs that are killed and continued, against an uninterrupted one."""
