<?xml version="1.0" encoding="UTF-8"?>
<!-- TLS transport module for Kamailio.
     Licence: GPL-2.0-or-later with the OpenSSL exception, see COPYING.

     Leaves out what the code does not offer: elements whose id, or whose
     condition, names something that exports.sh does not list. A chapter that
     becomes empty goes as well. -->
<xsl:stylesheet version="1.0"
	xmlns:xsl="http://www.w3.org/1999/XSL/Transform">

<xsl:param name="exports"/>
<xsl:variable name="e" select="document($exports)/exports/e"/>

<xsl:output method="xml" encoding="UTF-8"/>

<xsl:template match="@*|node()">
	<xsl:copy><xsl:apply-templates select="@*|node()"/></xsl:copy>
</xsl:template>

<xsl:template match="*[@condition]" priority="2">
	<xsl:if test="@condition = $e">
		<xsl:copy><xsl:apply-templates select="@*|node()"/></xsl:copy>
	</xsl:if>
</xsl:template>

<xsl:template match="*[starts-with(@id, 'tls.f.') or starts-with(@id, 'tls.r.')
		or starts-with(@id, 'tls.v.') or starts-with(@id, 'tls.s.')
		or starts-with(@id, 'tls.e.') or starts-with(@id, 'tls.l.')
		or starts-with(@id, 'tls.g.')]">
	<xsl:if test="@id = $e">
		<xsl:copy><xsl:apply-templates select="@*|node()"/></xsl:copy>
	</xsl:if>
</xsl:template>

<!-- role="kinds": shown while one of the entries inside is. -->
<xsl:template match="*[@role = 'kinds']">
	<xsl:if test=".//*[@id = $e]">
		<xsl:copy><xsl:apply-templates select="@*|node()"/></xsl:copy>
	</xsl:if>
</xsl:template>

</xsl:stylesheet>
