/// The lease of everything that writes what trackers tell.
package let scanLeaseName = "scan"
