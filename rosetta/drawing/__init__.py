"""Pictures of what neurons do on images, the same for judge, report and viewer."""
